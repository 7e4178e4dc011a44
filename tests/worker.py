"""`tfgen` with the stub recipe of the tests: one worker of several, which TF_CONFIG names."""

import sys

from helpers import StubModule

from tfgen import cli
from tfgen.recipes import MODULES, RECIPES

if __name__ == "__main__":
    MODULES["stub"], RECIPES["stub"] = StubModule, StubModule.RECIPE
    sys.exit(cli.main(sys.argv[1:]))
