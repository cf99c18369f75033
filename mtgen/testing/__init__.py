"""Test suites for authors of stores: subclass one, say how to make the data, run pytest."""

from mtgen.testing.stores import StoreContract

__all__ = ["StoreContract"]
