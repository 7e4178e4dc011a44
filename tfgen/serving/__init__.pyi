"""For type checkers and editors: the public names, which the package itself imports when they are first used."""

from tfgen.serving.client import Client as Client
from tfgen.serving.publication import publish as publish
from tfgen.serving.server import serve as serve
