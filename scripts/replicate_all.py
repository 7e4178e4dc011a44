"""The whole lecture: every recipe that has the preset, and the table of all their numbers."""

import sys

from tfgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", "--all", *sys.argv[1:]]))
