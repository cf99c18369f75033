"""Decoded pictures kept on disk: a folder of slots that fills as pictures are decoded, so that later they are copied.

From the bottom: `layout` (arithmetic), `known` (a place per row), `segments` (files), `settings` (what the user says),
`folder` (who writes, how much room), `bound` (the cache of one input). docs/cache.md is the user's page.
"""

from mtgen.cache.settings import PictureCache

__all__ = ["PictureCache"]
