"""Makes data_samples/digits anew, byte for byte: real handwritten digits, each as two views that belong together.

    image     the upper four pixel rows, a grey PNG of 8 x 4 pixels: images/YYY/XX/ID.png
    features  the lower four pixel rows, 32 float32 values from 0 to 16, one row of features.bcolz
    keys      the id of each feature row, int64: features.keys.bcolz
    table     table.csv with the columns id, imgpath, target, in the order of the feature rows

Ids look like serial numbers and are no row numbers, so that comparing keys proves something. YYY and XX come from a
hash of the id, the folder tree that keeps millions of files listable.

The bytes of the PNG files depend on Pillow and the zlib inside it; SOURCE.md names the version that wrote them. The
pixels, and the bytes of everything else, depend on nothing but scikit-learn's copy of the data (and Blosc for the
arrays, whose LZ4 has been stable for years).
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import io
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from sklearn.datasets import load_digits

from mtgen.stores.bcolz_writer import write_bcolz

ROOT = Path(__file__).resolve().parent.parent / "data_samples" / "digits"
CHUNK_ROWS = 256
"""Rows per chunk of the arrays: seven full chunks and a tail of five rows."""

SOURCE = """\
# Where these files come from

1,797 handwritten digits, 8 x 8 pixels with values 0 to 16: the test part of "Optical Recognition of Handwritten
Digits", as it ships inside scikit-learn (`sklearn.datasets.load_digits`).

E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits [Dataset]. UCI Machine Learning Repository.
DOI 10.24432/C50P49. Licence: Creative Commons Attribution 4.0 International (CC BY 4.0), see LICENSE beside this file.

## What was changed

Each digit was cut into two views. `scripts/make_data_samples.py` makes all files here; `make samples` checks them.

| file | content |
|---|---|
| `images/YYY/XX/ID.png` | pixel rows 0 to 3 as an 8-bit grey PNG, 8 wide and 4 high; value v became (255 v + 8) // 16 |
| `features.bcolz` | pixel rows 4 to 7, row by row, as 32 float32 values, unscaled (0 to 16) |
| `features.keys.bcolz` | the id of each feature row, int64 |
| `table.csv` | `id`, `imgpath`, `target` (the digit), in the order of the feature rows |

Ids were made up: 100000 + (row * 501953) % 900000. The pixel value comes back as v = (16 p + 127) // 255.

PNG files written with Pillow {pillow}.
"""

LICENCE = """\
The digits in this folder are licensed under the Creative Commons Attribution 4.0 International licence (CC BY 4.0),
https://creativecommons.org/licenses/by/4.0/legalcode

Attribution: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, 1998, UCI Machine Learning
Repository, DOI 10.24432/C50P49. Changed as SOURCE.md says. The licence of mtgen itself does not apply to this folder.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare a fresh copy; exit 1 if a byte differs")
    options = parser.parse_args()
    if not options.check:
        make(ROOT)
        print(f"wrote {len(files(ROOT))} files to {ROOT}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "digits"
        make(made)
        wrong = differences(made, ROOT)
    for line in wrong[:20]:
        print(line)
    total = len(files(ROOT))
    print(f"{len(wrong)} of {total} files differ" if wrong else f"{total} files, every byte the same")
    return 1 if wrong else 0


def make(root: Path) -> None:
    """Write all samples under `root`, in place of those that are there."""
    for name in ("images", "features.bcolz", "features.keys.bcolz"):
        shutil.rmtree(root / name, ignore_errors=True)
    digits = load_digits()
    pixels = digits.images.astype(np.uint8)
    ids = make_ids(len(pixels))
    paths = [image_path(identity) for identity in ids]
    for path, upper in zip(paths, pixels[:, :4], strict=True):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png_bytes(upper))
    features = pixels[:, 4:].reshape(len(pixels), 32).astype(np.float32)
    write_bcolz(root / "features.bcolz", features, chunk_rows=CHUNK_ROWS)
    write_bcolz(root / "features.keys.bcolz", ids, chunk_rows=CHUNK_ROWS, attrs={"name": "id"})
    lines = [f"{i},{path},{target}\n" for i, path, target in zip(ids, paths, digits.target, strict=True)]
    (root / "table.csv").write_bytes("".join(["id,imgpath,target\n", *lines]).encode("ascii"))
    (root / "SOURCE.md").write_bytes(SOURCE.format(pillow=PIL.__version__).encode("ascii"))
    (root / "LICENSE").write_bytes(LICENCE.encode("ascii"))


def make_ids(num_rows: int) -> np.ndarray:
    """Serial numbers of six digits, all different: 501953 has no common factor with 900000."""
    return 100_000 + np.arange(num_rows, dtype=np.int64) * 501_953 % 900_000


def image_path(identity: int) -> str:
    """`images/YYY/XX/ID.png`, with YYY of 16 folders and XX of 8 from the SHA-256 of the id's digits."""
    digest = hashlib.sha256(str(identity).encode("ascii")).digest()
    return f"images/{digest[0] % 16:03d}/{digest[1] % 8:02d}/{identity}.png"


def png_bytes(pixels: np.ndarray) -> bytes:
    """One grey PNG without metadata; `pixels` are uint8 `(height, width)` from 0 to 16, stretched to 0 to 255."""
    grey = (pixels.astype(np.uint16) * 255 + 8) // 16
    buffer = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(buffer, format="PNG", optimize=False, compress_level=9)
    return buffer.getvalue()


def files(root: Path) -> list[Path]:
    """All files under `root`, relative to it, sorted."""
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


def differences(made: Path, kept: Path) -> list[str]:
    """One line per file that is missing, extra or different between the fresh and the kept folder."""
    fresh, old = set(files(made)), set(files(kept))
    lines = [f"missing  {path}" for path in fresh - old] + [f"extra    {path}" for path in old - fresh]
    changed = [path for path in fresh & old if not filecmp.cmp(made / path, kept / path, shallow=False)]
    return sorted(lines + [f"changed  {path}" for path in changed])


if __name__ == "__main__":
    sys.exit(main())
