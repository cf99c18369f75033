"""The contenders, one file per family, each written the way its own documentation says.

Packages are imported inside the functions: what is not installed is reported, and costs nothing else.
"""

from __future__ import annotations
