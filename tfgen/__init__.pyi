"""For type checkers and editors: the public names, which the package itself loads when they are first used."""

from tfgen import data as data
from tfgen import distributions as distributions
from tfgen import evaluation as evaluation
from tfgen import export as export
from tfgen import joint as joint
from tfgen import losses as losses
from tfgen import models as models
from tfgen import sampling as sampling
from tfgen import serving as serving
from tfgen.models.autoencoder import ShallowAutoencoder as ShallowAutoencoder
from tfgen.models.autoencoder import stacked_autoencoder as stacked_autoencoder
from tfgen.models.gan import GAN as GAN
from tfgen.models.vae import VAE as VAE
from tfgen.runner.run import run as run
from tfgen.sampling import generate as generate

__version__: str
