"""Installs the training backends that are asked for and missing, never a CUDA build of PyTorch unasked.

Called by `make test-backends`, whose variables are explained at the head of the Makefile.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", required=True, help="names, separated by blanks")
    parser.add_argument("--torch", default="torch==2.13.0", help="requirement or wheel file")
    parser.add_argument("--torch-pip", default="", help="further options of pip install for torch")
    parser.add_argument("--tensorflow", default="tensorflow-cpu>=2.18", help="requirement")
    parser.add_argument("--allow-cuda", choices=["0", "1"], default="0", help="1: take a CUDA build of torch")
    options = parser.parse_args()
    backends = options.backends.split()
    if unknown := sorted(set(backends) - {"jax", "torch", "tensorflow"}):
        parser.error(f"unknown backends {unknown}; known are jax, torch and tensorflow")

    # "torch" leaves a namespace folder behind when half removed, hence the look at the loader's origin.
    missing = [name for name in backends if (spec := importlib.util.find_spec(name)) is None or spec.origin is None]
    if "jax" in missing:
        print("test-backends: jax comes with `make setup`; remove .venv and run it again", file=sys.stderr)
        return 1
    if "torch" in missing:
        arguments = ["--only-binary", ":all:", *shlex.split(options.torch_pip), options.torch]
        if options.allow_cuda == "0" and (refusal := cuda_packages(arguments)):
            print(refusal, file=sys.stderr)
            return 1
        install(arguments)
    if "tensorflow" in missing:
        install(["--only-binary", ":all:", options.tensorflow])
    return 0


def cuda_packages(arguments: list[str]) -> str:
    """What to tell the user when `pip install *arguments` would bring a CUDA build; empty when it would not."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run([*PIP, "--quiet", "--dry-run", "--report", str(report), *arguments], check=True)
        names = [entry["metadata"]["name"] for entry in json.loads(report.read_text())["install"]]
    heavy = sorted(name for name in names if name.startswith(("nvidia-", "cuda-", "triton")))
    if not heavy:
        return ""
    return (
        f"test-backends: {arguments[-1]} would bring {len(heavy)} CUDA packages ({', '.join(heavy[:3])}, ...), several "
        "GB. Give a CPU build: TORCH_PIP='--index-url URL' (PyTorch's installation page names it) or "
        "TORCH=/path/to/file.whl. Or take it with ALLOW_CUDA=1, or leave it out: BACKENDS='jax tensorflow'."
    )


def install(arguments: list[str]) -> None:
    """Run pip install, quiet but for its errors."""
    print(f"test-backends: installing {arguments[-1]}", flush=True)
    subprocess.run([*PIP, "--quiet", *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main())
