#!/usr/bin/env python3
"""Prove that batches are aligned: the same as `mtgen selftest`, without an installed package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mtgen.cli import main

if __name__ == "__main__":
    main(["selftest", *sys.argv[1:]])
