#!/usr/bin/env python3
"""Measure the loader against others: the same as `mtgen bench`, without an installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mtgen.cli import main

if __name__ == "__main__":
    main(["bench", *sys.argv[1:]])
