"""`python -m benchmarks`: checks the command line, before loading or writing anything, and runs the benchmark."""

import argparse
import math
import sys

from benchmarks import report
from benchmarks.run import SECTIONS, run
from benchmarks.workloads import WORKLOADS
from tfgen import data
from tfgen.errors import InputError, RunError
from tfgen.files import check_writable

PROGRAM = "benchmarks"


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def _parser():
    parser = _Parser(
        prog=PROGRAM, description="Measures the lecture's models beside other frameworks.", allow_abbrev=False
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default all of them")
    parser.add_argument(
        "--families", nargs="+", default=list(WORKLOADS), metavar="MODEL", help="models to train; default all of them"
    )
    parser.add_argument("--rounds", type=int, default=9, help="how often each variant is measured; default 9")
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="approximate length of each measurement; default 0.5"
    )
    parser.add_argument("--full", action="store_true", help="evaluate the likelihood of 10,000 images, not 500")
    parser.add_argument("--quick", action="store_true", help="measure as little as possible, to try the program")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="TensorFlow Datasets directory (default: TFDS_DATA_DIR, else TFDS's own)"
    )
    parser.add_argument("--output-dir", default="benchmark", metavar="DIR", help="default: benchmark")
    return parser


def _check(args):
    """Raises `InputError` if an argument is invalid."""
    for kind, names, allowed in (("section", args.sections, SECTIONS), ("model", args.families, WORKLOADS)):
        for name in names:
            if name not in allowed:
                raise InputError(f"unknown {kind} {name!r}; choose from {', '.join(allowed)}")
    if args.rounds < 1:
        raise InputError(f"--rounds must be at least 1, got {args.rounds}")
    if not 0 < args.seconds < math.inf:
        raise InputError(f"--seconds must be greater than 0, got {args.seconds}")
    check_writable(args.output_dir, "--output-dir")
    data.check("mnist", args.data_dir)


def main(argv=None):
    """Runs the command line. Returns the exit code: 0 done, 1 failed while running, 2 wrong use, 130 interrupted."""
    args = _parser().parse_args(argv)
    try:
        _check(args)
        results = run(
            args.sections or SECTIONS,
            args.families,
            args.rounds,
            args.seconds,
            args.full,
            args.quick,
            args.data_dir,
            args.output_dir,
        )
    except (InputError, RunError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    print(f"\n{report.tables(results)}\n\nresults, tables and picture: {args.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
