#!/usr/bin/env python3
"""Train a merged model on pictures and feature rows: the same as `mtgen train`, without an installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mtgen.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
