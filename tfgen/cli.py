"""The `tfgen` command. It checks a request before it imports TensorFlow."""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import shlex
import shutil
import signal
import sys
import traceback

import tfgen
from tfgen import console, data, sampling
from tfgen.errors import InputError
from tfgen.recipe import LECTURE, PRESETS
from tfgen.recipes import RECIPES


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message):
        self.exit(2, f"{self.prog}: {console.line(message)} (see {self.prog} --help)\n")


def _parser():
    parser = _Parser(prog="tfgen", description="A lecture on autoencoders, VAEs and GANs, reproduced with Keras.")
    parser.add_argument("--version", action="version", version=f"tfgen {tfgen.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument("--debug", action="store_true", help="show tracebacks and TensorFlow's own messages")
    data_dir = argparse.ArgumentParser(add_help=False)
    data_dir.add_argument(
        "--data-dir", metavar="DIR", help="TensorFlow Datasets directory (default: TFDS_DATA_DIR, else TFDS's own)"
    )

    command = commands.add_parser("list", parents=[debug], help="recipes, lecture items and published numbers")
    command.add_argument("recipe", nargs="?", metavar="RECIPE", help="its description, hyper-parameters and results")
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(function=_list)

    command = commands.add_parser("run", parents=[debug, data_dir], help="train, evaluate, draw and export recipes")
    command.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"one or more of {', '.join(RECIPES)}")
    command.add_argument("--all", action="store_true", help="run every recipe that has the preset")
    command.add_argument(
        "--preset", default="quick", help="smoke (a minute), quick (minutes; default) or paper (up to hours)"
    )
    command.add_argument(
        "--dataset",
        default="auto",
        help=f"one of {', '.join(data.NAMES)}; or an .npz file or a folder of PNG files; default auto; "
        "vae-static and iwae-static have their own",
    )
    command.add_argument("--output-dir", default="runs", metavar="DIR", help="default: runs")
    seeds = command.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, default=0, help="default: 0")
    seeds.add_argument(
        "--seeds",
        metavar="SEEDS",
        help="one or several, such as 3, 0-4 or 0,3,7 (a list, no count): into seed-N of the output directory; what a "
        "run needs is that of seed 0",
    )
    command.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes, which share the cores; default: %(default)s"
    )
    command.add_argument("--epochs", type=int, help="number of epochs; default: the recipe's")
    command.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="set a hyper-parameter, such as batch_size=64; repeatable; tfgen list RECIPE shows all of them",
    )
    command.add_argument("--resume", action="store_true", help="continue unfinished runs and keep finished ones")
    command.add_argument("--deterministic", action="store_true", help="use deterministic kernels only; slower")
    command.add_argument(
        "--strategy",
        default="none",
        help="mirrored: train on all GPUs of this machine; multiworker: on the machines that TF_CONFIG names; "
        "default: none",
    )
    command.add_argument("--tensorboard", action="store_true", help="write logs for TensorBoard (extra 'tensorboard')")
    command.set_defaults(function=_run)

    command = commands.add_parser("sample", parents=[debug], help="draw images from an exported generative model")
    command.add_argument(
        "model",
        metavar="MODEL",
        help="a run such as runs/vae, a SavedModel, or a published model's name, which means its newest version",
    )
    command.add_argument("--num", type=int, default=64, help="number of images; default 64")
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    command.add_argument("--output", default="grid.png", metavar="PNG", help="default: grid.png")
    command.set_defaults(function=_sample)

    command = commands.add_parser("publish", parents=[debug], help="publish a run's SavedModel as its next version")
    command.add_argument("run", metavar="RUN_DIR", help="directory of a finished run, such as runs/vae")
    command.add_argument("--to", default="saved_models", metavar="DIR", help="default: saved_models")
    command.set_defaults(function=_publish)

    command = commands.add_parser("serve", parents=[debug], help="start TensorFlow Serving on published models")
    command.add_argument("--models", default="saved_models", metavar="DIR", help="default: saved_models")
    command.add_argument(
        "--label", action="append", default=[], metavar="MODEL:LABEL=VERSION", help="such as vae:stable=2; repeatable"
    )
    command.add_argument("--rest-port", type=int, default=8501, help="default: 8501")
    command.add_argument("--grpc-port", type=int, default=8500, help="default: 8500")
    command.add_argument("--timeout", type=float, default=120, help="seconds to wait for the models; default 120")
    command.add_argument(
        "--all-interfaces", action="store_true", help="open the ports to other machines too, without authentication"
    )
    command.add_argument(
        "--no-batching", action="store_true", help="compute each request by itself, apart from those of others"
    )
    command.set_defaults(function=_serve)

    command = commands.add_parser("query", parents=[debug], help="query a running server: status, signatures, outputs")
    command.add_argument("model", metavar="MODEL", help="such as vae")
    command.add_argument("--signature", help="compute its outputs; default: show the model's state and signatures")
    command.add_argument("--server", default="http://127.0.0.1:8501", metavar="URL", help="default: %(default)s")
    version = command.add_mutually_exclusive_group()
    version.add_argument("--version", type=int, help="default: the highest")
    version.add_argument("--label", help="instead of a version")
    command.add_argument("--input", metavar="FILE", help="inputs by name: arrays in .npz or lists in .json")
    command.add_argument("--num", type=int, help="number of images to generate, without --input; default 16")
    command.add_argument("--seed", type=int, help="seed of these images, as in tfgen sample; default 0")
    command.add_argument("--output", metavar="FILE", help="file for the images (.png) or all outputs (.npz)")
    command.add_argument("--timeout", type=float, default=30, help="seconds that each request may take; default 30")
    command.set_defaults(function=_query)

    command = commands.add_parser(
        "table", parents=[debug, data_dir], help="make the documents' table from the results of runs"
    )
    command.add_argument(
        "runs", nargs="*", metavar="RUNS_DIR", help="directories of several seeds or presets; default: runs"
    )
    command.add_argument(
        "--write",
        metavar="FILE",
        help="replace the table in this file, such as docs/results.md, instead of printing it",
    )
    command.add_argument("--missing", metavar="SEEDS", help="show which runs of these seeds, such as 0-9, are done")
    command.add_argument("--preset", default="quick", help="preset that --missing looks for; default: %(default)s")
    command.set_defaults(function=_table)

    command = commands.add_parser(
        "check", parents=[debug], help="is a run's result within the spread of the kept seeds? writes check.png, too"
    )
    command.add_argument("run", metavar="RUN_DIR", help="directory of a finished run of preset quick, such as runs/vae")
    command.set_defaults(function=_check)

    command = commands.add_parser(
        "report", parents=[debug], help="write the HTML page of a directory of runs, with its networks to try"
    )
    command.add_argument("runs", nargs="?", default="runs", metavar="RUNS_DIR", help="default: runs")
    command.add_argument("--output", metavar="FILE", help="default: report.html in RUNS_DIR")
    command.set_defaults(function=_write_report)

    command = commands.add_parser("data", help="show or prepare datasets")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("status", parents=[debug, data_dir], help="show which datasets are prepared, and where")
    action.set_defaults(function=_data_status)
    action = actions.add_parser(
        "import", parents=[debug, data_dir], help="prepare a dataset from IDX files or mnist.npz"
    )
    action.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="DIR",
        help="has the four IDX files, gzipped or not, or mnist.npz",
    )
    action.add_argument("--dataset", default="mnist", help=f"one of {', '.join(data.MNIST_LIKE)}; default mnist")
    action.set_defaults(function=_data_import)
    return parser


def main(argv=None):
    """Runs the command line.

    Returns:
        The exit code: 0 done, 1 failed while running, 2 wrong use; 130, 143 and 129 stopped by Ctrl-C, SIGTERM and
        SIGHUP.
    """
    with console.unbroken() as output, console.interruptible(last=argv is None):
        try:
            code = _call(sys.argv[1:] if argv is None else list(argv))
        except SystemExit as end:  # Of --help and of a mistake in an option.
            code = end.code
        output.flush()
        # Whoever closes a pipe has seen enough. Any other failure has lost what was asked for.
        if output.error is not None and not isinstance(output.error, BrokenPipeError):
            print(f"tfgen: standard output could not be written ({output.error.strerror})", file=sys.stderr)
            code = code or 1
    return code


def _call(argv):
    """Calls the command that `argv` names; returns its exit code."""
    args = _parser().parse_args(argv)
    try:
        args.function(args)
    except KeyboardInterrupt as stop:
        by_signal = isinstance(stop, console.Terminated)
        print(f"\ntfgen: {f'stopped by {stop}' if by_signal else 'interrupted'}", file=sys.stderr)
        if args.command == "run":
            program = ["tfgen"] if shutil.which("tfgen") else [sys.executable, "-m", "tfgen"]
            resume = [] if args.resume else ["--resume"]
            print(f"resume with: {shlex.join([*program, *argv, *resume])}", file=sys.stderr)
        return 128 + (stop.number if by_signal else signal.SIGINT)
    except Exception as error:  # The last resort: any failure is reported in one line and, with --debug, its traceback.
        if args.debug:
            traceback.print_exc()
        if isinstance(error, InputError):
            print(f"tfgen: {console.line(str(error))}", file=sys.stderr)
            return 2
        message = " ".join(str(error).split()) or type(error).__name__
        hint = "" if type(error).__module__.startswith("tfgen") else " (--debug shows where)"
        print(f"tfgen: {console.line(message[:600])}{hint}", file=sys.stderr)
        return 1
    return 0


def _list(args):
    if args.json and args.recipe is None:
        listing = {
            "lecture": LECTURE,
            "recipes": {
                name: {
                    "title": recipe.title,
                    "lecture_items": recipe.lecture_items,
                    "presets": {key: vars(config) for key, config in recipe.presets.items()},
                    "published": {key: dataclasses.asdict(published) for key, published in recipe.published.items()},
                }
                for name, recipe in RECIPES.items()
            },
        }
        print(json.dumps(listing, indent=1))
        return
    if args.recipe is not None:
        from tfgen.report import description

        if args.json:
            raise InputError("--json lists all recipes; give no RECIPE with it")
        if args.recipe not in RECIPES:
            raise InputError(f"unknown recipe {args.recipe!r}; choose from {', '.join(RECIPES)}")
        width = shutil.get_terminal_size((120, 24)).columns  # Where there is no terminal, 120.
        print(description.description(args.recipe, width))
        return
    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        print(f"{name:{width}}  {recipe.title}")
        print(f"{'':{width}}  lecture {', '.join(recipe.lecture_items)}; presets {', '.join(recipe.presets)}")
        for metric, published in recipe.published.items():
            for one in (published, *published.others):
                print(f"{'':{width}}  published: {metric} = {one.value} ({one.source})")


def _run(args):
    if args.all == bool(args.recipes):
        raise InputError(f"name recipes or give --all, not both; the recipes are {', '.join(RECIPES)}")
    names = _all(args.preset, args.data_dir, args.strategy) if args.all else list(dict.fromkeys(args.recipes))
    from tfgen.runner.request import Request, seeds_of
    from tfgen.runner.results import load_results

    if args.jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {args.jobs}")
    if args.jobs > 1 and args.strategy != "none":
        raise InputError("--jobs and --strategy both share out the machine; give one of them")
    # Directory -> its seed.
    directories = {args.output_dir: args.seed}
    needed_dir = None
    if args.seeds is not None:
        directories = {os.path.join(args.output_dir, f"seed-{seed}"): seed for seed in seeds_of(args.seeds)}
        needed_dir = os.path.join(args.output_dir, "seed-0")
    names_of_options = ("preset", "epochs", "settings", "deterministic", "resume", "strategy")
    options = {name: getattr(args, name) for name in names_of_options}
    requests = [
        Request(name, seed=seed, output_dir=directory, needed_dir=needed_dir, **options)
        for directory, seed in directories.items()
        for name in names
    ]
    data.check(args.dataset, args.data_dir)
    # The report at the end shows these too: what is damaged is told now, not after the training.
    for directory in directories:
        load_results(directory, but=() if args.resume else names)
    if args.jobs > 1 and len(requests) > 1:
        from tfgen.runner.jobs import carry_out_all

        shared = {name: getattr(args, name) for name in ("dataset", "data_dir", "tensorboard", "debug")}
        results = carry_out_all(requests, args.jobs, shared)
    else:
        results = _carry_out(args, requests)
    if None not in results:  # Of several workers, the chief alone has some.
        _report(results, directories)


def _all(preset, data_dir, strategy="none"):
    """Returns the recipes that --all means: those that have the preset and suit the strategy, with their dataset."""
    names = list(RECIPES)
    if preset not in PRESETS:  # Which the first request says.
        return names
    without = [name for name in names if preset not in RECIPES[name].presets]
    names = [name for name in names if name not in without]
    if without:
        print(f"skipped, since they have no preset {preset}: {', '.join(without)}", flush=True)
    for name in [name for name in names if strategy != "none" and not RECIPES[name].splits_batches]:
        names.remove(name)
        print(f"skipped, since its batches are not split: {name}", flush=True)
    for name in [name for name in names if RECIPES[name].dataset is not None]:
        if not data.is_prepared(RECIPES[name].dataset, data_dir):
            names.remove(name)
            print(
                f"skipped, since {RECIPES[name].dataset} is not prepared: {name}; name it to download the set",
                flush=True,
            )
    return names


def _carry_out(args, requests):
    """Makes the runs of some requests, one after the other in this process; returns their results."""
    source = data.Source(args.dataset, args.data_dir)
    if data.is_own(args.dataset):
        source.of(None)  # Mistakes are likely, and found without TensorFlow.

    def begin():
        from tfgen.training.workers import strategy_of

        strategy_of(args.strategy)

    console.load_tensorflow(args.debug, begin)
    from tfgen.runner.request import check_all
    from tfgen.runner.run import carry_out

    check_all(requests, source)
    results = []
    for i, request in enumerate(requests, 1):
        seed = f", seed {request.seed}" if args.seeds is not None else ""
        number = f" ({i} of {len(requests)})" if len(requests) > 1 else ""
        print(f"\n== {request.recipe}{seed}{number}: {RECIPES[request.recipe].title}", flush=True)
        dataset = source.of(RECIPES[request.recipe].dataset)
        results.append(carry_out(request, dataset, args.tensorboard))
    return results


def _report(results, directories):
    """Writes the report of each directory and prints the results, as means over the seeds if there are several."""
    from tfgen.report import page, tables

    reports = [str(page.write_page(directory)) for directory in directories]
    print(f"\n{tables.table(results)}\n")
    seconds = sum(result["seconds"] for result in results)
    kind = "recipe" if len(directories) == 1 else "run"
    count = f"{len(results)} {kind}{'s' if len(results) > 1 else ''}"
    print(f"{count}, {seconds:.0f} s; figures and models: {', '.join(reports)}")
    others = dict.fromkeys(result["dataset"] for result in results if not result["comparable"])
    if others:
        print(f"*** Dataset {', '.join(others)}: no result is comparable to the published numbers. ***")


def _sample(args):
    from tfgen.serving import published

    sampling.check_seeds(args.num, args.seed)
    sampling.check_output(args.output)
    model = published.find(args.model)
    console.load_tensorflow(args.debug)
    from tfgen import figures
    from tfgen.files import write_atomically

    images = sampling.generate(model, args.num, args.seed)
    pictures = images.reshape(-1, *sampling.image_shape(model, images.shape[1]))
    write_atomically(args.output, figures.tiled_png(pictures, columns=math.ceil(args.num**0.5)))
    print(f"{args.num} images of {model}: {args.output}")


def _publish(args):
    from tfgen.serving import publication

    publication.check_publish(args.run, args.to)
    console.load_tensorflow(args.debug)
    version = publication.publish(args.run, args.to)
    print(f"published {version}")


def _serve(args):
    from tfgen.serving import server

    ports = args.rest_port, args.grpc_port
    server.serve(args.models, args.label, *ports, args.timeout, args.all_interfaces, not args.no_batching)


def _query(args):
    from tfgen.serving import query
    from tfgen.serving.client import Client

    address = {"model": args.model, "version": args.version, "label": args.label}
    inputs = None
    if args.signature is None:
        given = [name for name in ("input", "num", "seed", "output") if getattr(args, name) is not None]
        if given:
            raise InputError(f"--{given[0]} needs --signature; without it, tfgen query shows the model's signatures")
    else:
        query.check_output(args.output)
        if args.input is not None:
            if (args.num, args.seed) != (None, None):
                raise InputError("--input reads inputs, --num and --seed make them; give one or the other")
            inputs = query.read_inputs(args.input)
    if args.server.startswith("grpc://"):
        console.load_tensorflow(args.debug)
    client = Client(args.server, args.timeout)
    if args.signature is None:
        print(query.description(client, **address))
        return
    if inputs is None:
        inputs = query.seeds(client, args.signature, args.num, args.seed, **address)
    outputs = client.predict(inputs=inputs, signature=args.signature, **address)
    print(query.summary(outputs))
    if args.output is not None:
        query.write_output(outputs, args.output)
        print(args.output)


def _table(args):
    from tfgen.report import tables
    from tfgen.runner.results import load_results

    directories = args.runs or ["runs"]
    if args.missing is not None:
        _missing(args, directories)
        return
    results = []
    for directory in directories:
        found = load_results(directory)
        if not found:
            raise InputError(f"no finished run in {directory}; name the --output-dir of tfgen run")
        results += found
    if args.write is None:
        print(tables.results_table(results))
    else:
        tables.write_results_table(results, args.write)
        print(f"{len(results)} run{'s' if len(results) > 1 else ''}: {args.write}")


def _missing(args, directories):
    from tfgen.report import missing
    from tfgen.runner.request import seeds_of

    if args.preset not in PRESETS or args.write is not None or len(directories) > 1:
        raise InputError(f"--missing takes one directory, and as --preset one of {', '.join(PRESETS)}")
    names = _all(args.preset, args.data_dir)
    seeds = seeds_of(args.missing)
    print(missing.table(missing.states(directories[0], names, seeds, args.preset), seeds))


def _check(args):
    from tfgen.files import check_writable
    from tfgen.report import check
    from tfgen.runner.results import read_results

    path = pathlib.Path(args.run, "results.json")
    if not path.exists():
        raise InputError(f"no finished run in {args.run}; name a directory such as runs/vae")
    results = read_results(path)
    check_writable(args.run, "RUN_DIR")
    kept = check.kept_runs(results)
    comparisons = check.compare(results, kept)
    print(f"{check.table(comparisons)}\n")
    print(f"Curves over the kept ones: {check.draw(args.run, kept)}")
    difference = check.differing_settings(results, kept)
    if difference:
        print(f"Other settings than the kept runs': {difference}")
    print(check.verdict(results, kept, comparisons))


def _write_report(args):
    from tfgen.files import check_writable
    from tfgen.report import page

    output = pathlib.Path(args.output or pathlib.Path(args.runs, "report.html"))
    if output.is_dir():
        raise InputError(f"--output: {args.output!r} is a directory; name a file such as report.html")
    page.check_directory(args.runs)
    check_writable(output.parent, "--output")
    console.load_tensorflow(args.debug)
    print(page.write_page(args.runs, output))


def _data_status(args):
    data.check("auto", args.data_dir)
    console.load_tensorflow(args.debug)
    from tfgen.data import tfds

    for name, directory, prepared in tfds.status(args.data_dir):
        print(f"{name:15} {'prepared' if prepared else 'not prepared':13} {directory}")
    print(f"{'digits':15} {'built in':13} scikit-learn's UCI digits, 1,797 images")


def _data_import(args):
    if args.dataset not in data.MNIST_LIKE:
        raise InputError(f"cannot import {args.dataset!r}; choose one of {', '.join(data.MNIST_LIKE)}")
    if args.data_dir is not None and os.path.exists(args.data_dir):
        data.check(args.dataset, args.data_dir)
    from tfgen.data import idx

    splits = idx.read_directory(args.source)
    console.load_tensorflow(args.debug)
    from tfgen.data import tfds

    directory, train, test = tfds.prepare(args.dataset, splits, args.data_dir)
    print(f"prepared {args.dataset} with {train:,} training and {test:,} test images in {directory}")
    if tfds.checksum(splits) != tfds.MNIST_CHECKSUM:
        print("These are not MNIST's 60,000 and 10,000 images: no result is comparable to the published numbers.")
