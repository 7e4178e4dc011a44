"""The whole lecture: every recipe, one after the other, and the table of all their numbers.

Time: about a quarter of an hour on 2 cores with --preset quick.

    python scripts/replicate_all.py --preset quick
"""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "--all", *sys.argv[1:]]))
