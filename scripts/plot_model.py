#!/usr/bin/env python3
"""Draw a training run from its folder: the same as `mtgen plot`, without an installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mtgen.cli import main

if __name__ == "__main__":
    main(["plot", *sys.argv[1:]])
