"""Stores: read-only rows of one input on disk, in many formats behind one protocol."""

from mtgen.stores.base import ChunkedStore, OpenStore, Store, check_request
from mtgen.stores.opening import open_store

__all__ = ["ChunkedStore", "OpenStore", "Store", "check_request", "open_store"]
