"""The same training in PyTorch, eager or compiled, and inference, eager."""

import time

import numpy as np
import PIL.Image
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from benchmarks.workloads import load_images, sized

ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid, "linear": torch.nn.Identity}


def network(layers):
    """Returns a `Sequential` with weights initialised as in Keras."""
    modules = []
    for rows, columns, activation in layers:
        linear = torch.nn.Linear(rows, columns)
        torch.nn.init.xavier_uniform_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
        modules += [linear, ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*modules)


class Trainer:
    """Trains a workload; see `tfgen_trainer.Trainer`.

    By hand: the training set is a tensor in memory, and a batch is its rows at a slice of a permutation. A backward
    pass computes only the gradients of the weights that are updated.

    With the DataLoader: as eriklindernoren/PyTorch-GAN (implementations/gan/gan.py) and pytorch/examples (vae/main.py)
    train on a CPU. They use `DataLoader(MNIST(...), batch_size, shuffle=True)` without workers. As in torchvision's
    MNIST and ToTensor, each image becomes a PIL image and then a float tensor when it is read. `backward()` computes
    all gradients, and the losses are read after each batch.

    Compiled: by hand, but `torch.compile` makes one program of each loss and one of its gradient. This gradient holds
    every weight that requires one, so only those that are updated do.

    Args:
        fused: whether Adam is `Adam(fused=True)`.
        data_loader: whether batches come from a DataLoader.
        compiled: whether the losses are compiled.
    """

    def __init__(self, images, workload, fused=False, data_loader=False, compiled=False, **size):
        self.workload = sized(workload, **size)
        self.data_loader = data_loader
        self.compiled = compiled
        self.networks = {name: network(layers) for name, layers in self.workload.networks.items()}
        self.updates = []
        for names, loss in LOSSES[self.workload.model].items():
            weights = [weight for name in names for weight in self.networks[name].parameters()]
            if compiled:
                torch.compiler.config.force_disable_caches = True  # So that the time to compile is measured.
                loss = torch.compile(loss, dynamic=False)
            # Adam's defaults, except for Keras's epsilon.
            self.updates.append((names, loss, weights, torch.optim.Adam(weights, lr=1e-3, eps=1e-7, fused=fused)))
        images = load_images(images, self.workload)
        batch_size = self.workload.config.batch_size
        if data_loader:
            self.loader = torch.utils.data.DataLoader(_Images(images), batch_size=batch_size, shuffle=True)
        else:
            self.images = torch.from_numpy(images).to(torch.float32) / 255
        self.batches = self._batches()
        self.description = {"unit": 20, "threads": torch.get_num_threads()}

    def _batches(self):
        while True:
            for x in self._epoch():
                yield torch.bernoulli(x) if self.workload.model == "vae" else x

    def _epoch(self):
        if self.data_loader:
            for x, _ in self.loader:
                yield x.view(len(x), -1)
            return
        batch_size = self.workload.config.batch_size
        order = torch.randperm(len(self.images))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            yield self.images[order[start : start + batch_size]]

    def _noise(self, n):
        if self.workload.noise is None:
            return None
        kind, dimension = self.workload.noise
        return 2 * torch.rand(n, dimension) - 1 if kind == "uniform" else torch.randn(n, dimension)

    def train(self, steps):
        """Takes `steps` training steps; returns the number of images."""
        images = 0
        for _ in range(steps):
            x = next(self.batches)
            images += len(x)
            for names, loss_of, weights, optimizer in self.updates:
                if self.compiled:
                    for name, network in self.networks.items():
                        network.requires_grad_(name in names)
                optimizer.zero_grad()
                loss = loss_of(self.networks, x, self._noise(len(x)))
                if self.data_loader:
                    loss.backward()
                    loss.item()
                else:
                    loss.backward(inputs=weights)
                optimizer.step()
        return images


class _Images(torch.utils.data.Dataset):
    """The steps of torchvision's `MNIST` with its transform `ToTensor`."""

    def __init__(self, images):
        self.images = torch.from_numpy(images.reshape(-1, 28, 28))
        self.labels = torch.zeros(len(images), dtype=torch.int64)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        picture = PIL.Image.fromarray(self.images[i].numpy())
        pixels = torch.from_numpy(np.array(picture, copy=True)).view(28, 28, 1)
        return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255), int(self.labels[i])


def _discriminator_loss(networks, x, z):
    with torch.no_grad():
        fake = networks["generator"](z)
    return softplus(-networks["discriminator"](x)).mean() + softplus(networks["discriminator"](fake)).mean()


def _generator_loss(networks, x, z):
    return softplus(-networks["discriminator"](networks["generator"](z))).mean()


def _negative_elbo(networks, x, epsilon):
    hidden = networks["encoder"](x)
    z_mean, z_log_var = networks["z_mean"](hidden), networks["z_log_var"](hidden)
    logits = networks["decoder"](z_mean + torch.exp(0.5 * z_log_var) * epsilon)
    kl = -0.5 * torch.sum(1 + z_log_var - z_mean.square() - z_log_var.exp())
    return (binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / len(x)


def _squared_error(networks, x, noise):
    return (x - networks["decoder"](networks["encoder"](x))).square().sum(dim=1).mean()


# Model -> the networks that an update changes -> its loss; the updates in their order.
LOSSES = {
    "gan": {("discriminator",): _discriminator_loss, ("generator",): _generator_loss},
    "vae": {("encoder", "z_mean", "z_log_var", "decoder"): _negative_elbo},
    "autoencoder": {("encoder", "decoder"): _squared_error},
}


class Inference:
    """Answers as `inference.Keras` does, eagerly and without recording gradients."""

    def __init__(self, layers):
        self.network = network(layers)
        self.description = {"threads": torch.get_num_threads()}

    def run(self, batch, calls):
        """Returns the seconds of each call on a batch."""
        x = torch.rand(batch, self.network[0].in_features)
        seconds = []
        with torch.no_grad():
            for _ in range(calls):
                started = time.perf_counter()
                self.network(x).numpy()
                seconds.append(time.perf_counter() - started)
        return seconds
