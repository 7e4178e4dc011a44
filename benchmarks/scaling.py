"""`python -m benchmarks.scaling`: what replicas cost on this machine, and on paper what GPUs would make of it.

A GAN's step is timed without a strategy, and by replicas and by workers on this machine's cores, at the same batch. The
plan then takes a step's products from its networks, and the rates of a GPU and its links from the options.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time

NOISE, PIXELS, BATCH, BLOCK = 100, 784, 128, 20
VARIANTS = ("none, XLA", "none, no XLA", "mirrored, 1", "mirrored, 2", "multiworker, 2")


def parameters(units):
    """Returns the numbers of parameters of the GAN's generator and discriminator, one hidden layer each."""
    return (NOISE + 1) * units + (units + 1) * PIXELS, (PIXELS + 1) * units + units + 1


def operations(units, batch):
    """Returns the floating-point operations of a step's products: each network's passes, forward and back."""
    generator, discriminator = parameters(units)
    # The discriminator's update: one pass of G; real and fake through D and back, though not to the images. The
    # generator's: through both and back, though not to the weights of D.
    return 2 * batch * (generator + 2 * 2 * discriminator + 3 * generator + 2 * discriminator)


def planned_seconds(units, batch, gpus, rate, overhead, bandwidth, latency):
    """Returns the seconds of a GAN's step on some GPUs that share a batch: what is split, what is not, two all-reduces.

    Args:
        units: of each hidden layer.
        batch: rows of the whole minibatch.
        gpus: their number n.
        rate: operations a second that one GPU does in such products.
        overhead: seconds of a step that do not become fewer: launches of kernels, draws.
        bandwidth: bytes a second of the slowest link; a ring sends 2 (n - 1) / n of the gradients through each.
        latency: seconds of each of a ring's 2 (n - 1) hops.
    """
    seconds = operations(units, batch) / (gpus * rate) + overhead
    if gpus > 1:
        for count in parameters(units):
            seconds += 2 * (gpus - 1) * (4 * count / gpus / bandwidth + latency)
    return seconds


def measure(variant, units, rounds):
    """Returns the seconds of a step in this process, and the processor's: of several rounds, the least of each."""
    import keras
    import numpy as np
    import tensorflow as tf

    from tfgen.data.batches import Batches, blocks
    from tfgen.models.gan import GAN
    from tfgen.training.blocks import use_blocks
    from tfgen.training.replicas import use_replicas
    from tfgen.training.workers import strategy_of

    kind, _, number = variant.partition(", ")
    strategy = strategy_of(kind) if kind == "multiworker" else None
    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(number))
        strategy = strategy_of(kind)
    images = np.random.default_rng(0).integers(256, size=(2000, PIXELS), dtype=np.uint8)
    batches = Batches(images, BATCH, 0)
    keras.utils.set_random_seed(0)
    model = GAN(PIXELS, NOISE, (units,), (units,))
    model.compile(*(keras.optimizers.Adam() for _ in range(2)), jit_compile=number == "XLA", steps_per_execution=BLOCK)
    if strategy is None:
        use_blocks(model, batches)
    else:
        use_replicas(model, batches, strategy)
    rows = iter(blocks(batches, 0, BLOCK))
    seconds = []
    for _ in range(rounds + 2):
        started = time.perf_counter(), time.process_time()
        float(model.train_function(rows)["generator_loss"])
        ended = time.perf_counter(), time.process_time()
        seconds.append([(then - now) / BLOCK for now, then in zip(started, ended, strict=True)])
    return [min(each) for each in zip(*seconds[2:], strict=True)]  # The first two are those that compile.


def measured(variant, units, rounds):
    """Returns what `measure` finds, in processes of their own."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--measure", variant, "--units", str(units)]
    command += ["--rounds", str(rounds)]
    environments = [{}]
    if variant.startswith("multiworker"):
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        workers = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        for each in sockets:
            each.close()
        tasks = [{"type": "worker", "index": i} for i in range(2)]
        environments = [{"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})} for task in tasks]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | each)
        for each in environments
    ]
    outputs = [process.communicate()[0] for process in processes]
    found = [json.loads(output.splitlines()[-1]) for output in outputs]
    # Workers step together, each on its part of the processor.
    return max(wall for wall, _ in found), sum(used for _, used in found)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__)
    parser.add_argument("--units", type=int, nargs="*", default=[128, 1200], help="to measure; default: 128 1200")
    parser.add_argument("--rounds", type=int, default=20, help="blocks of 20 steps; default 20")
    parser.add_argument("--measure", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--plan", type=int, nargs="+", default=[128, 1200, 4800], help="units; default: 128 1200 4800")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 4096], help="of the plan; default: 128 4096")
    parser.add_argument("--rate", type=float, default=15e12, help="operations a second of a GPU; default: %(default)g")
    parser.add_argument("--overhead", type=float, default=300e-6, help="seconds of a step; default: %(default)g")
    parser.add_argument("--bandwidth", type=float, default=20e9, help="bytes a second; default: %(default)g")
    parser.add_argument("--latency", type=float, default=5e-6, help="seconds of a hop; default: %(default)g")
    args = parser.parse_args(argv)
    if args.measure:
        print(json.dumps(measure(args.measure, args.units[0], args.rounds)))
        return
    print("| units | parameters | " + " | ".join(VARIANTS) + " |\n" + "| --- " * (2 + len(VARIANTS)) + "|")
    for units in args.units:
        found = [measured(variant, units, args.rounds) for variant in VARIANTS]
        cells = [f"{1e3 * wall:.2f} ({1e3 * used:.2f})" for wall, used in found]
        print(f"| {units:,} | {sum(parameters(units)):,} | " + " | ".join(cells) + " |", flush=True)
    numbers = [2**i for i in range(7)]
    print("\n| units | batch | " + " | ".join(map(str, numbers)) + " |\n" + "| --- " * (2 + len(numbers)) + "|")
    for units in args.plan:
        for batch in args.batches:
            options = (args.rate, args.overhead, args.bandwidth, args.latency)
            seconds = [planned_seconds(units, batch, number, *options) for number in numbers]
            gains = [f"{seconds[0] / each:.2f}" for each in seconds]
            print(f"| {units:,} | {batch:,} | " + " | ".join(gains) + " |")


if __name__ == "__main__":
    main()
