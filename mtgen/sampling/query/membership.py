"""`contains`: membership in lists, a stretch of texts, the whole name of classes."""

from __future__ import annotations

import numpy as np

from mtgen.sampling.query import nodes
from mtgen.sampling.query.compare import compare
from mtgen.sampling.query.globs import has_wildcard, hits, of_codes
from mtgen.sampling.query.matching import class_numbers, closed
from mtgen.sampling.query.scope import Scope
from mtgen.sampling.query.values import Lists, Nothing, Numbers, Texts, Truths, Value, length, present, spread


def contains(scope: Scope, node: nodes.Call, value: Value, sought: Value) -> Value:
    """`contains(value, sought)`: membership in lists, a stretch of texts, the whole name of classes."""
    place = node.place
    asked = sought.literal if isinstance(sought, Texts) else None
    if isinstance(value, Lists):
        if isinstance(value.inner, Lists):
            raise scope.refuse(place, "contains looks into lists, received lists of lists; choose one with [...] first")
        found = _elements(scope, node, value, sought, asked)
        rows = np.zeros(len(value.lengths), bool)
        rows[value.row_of[np.broadcast_to(found, len(value.row_of))]] = True
        return Truths(rows)
    if isinstance(value, Nothing):
        if asked is not None:
            scope.met(value, asked, False, exact=False, listed=True)
        return Truths(np.zeros(length(value), bool))
    if asked is None or (isinstance(value, Numbers) and value.classes is not None):
        if asked is None and isinstance(value, Texts):
            raise scope.refuse(node.arguments[1].place, "contains looks in texts for a text in quotes")
        return _whole(scope, node, value, sought, asked)
    if isinstance(value, Texts):
        hit = hits(value.names, asked, whole=False)
        if closed(scope, value) and not hit.any() and len(value.names):
            raise scope.unknown(asked, scope.column(nodes.Column(str(value.column))), list(value.names))
        return Truths(of_codes(hit, value.codes))
    raise scope.refuse(
        place, f"cannot look in {scope.said(node.arguments[0], value)} for {scope.said(node.arguments[1], sought)}"
    )


def _elements(scope: Scope, node: nodes.Call, value: Lists, sought: Value, asked: nodes.Text | None) -> np.ndarray:
    """Which elements of all lists are what is sought, bool."""
    inner = value.inner
    if isinstance(inner, Nothing):
        if asked is not None:
            scope.met(inner, asked, False, exact=False)
        return np.zeros(length(inner), bool)
    with scope.inside(value):
        whole = _whole(scope, node, inner, spread(sought, value) if asked is None else sought, asked)
    return whole.values


def _whole(scope: Scope, node: nodes.Call, value: Value, sought: Value, asked: nodes.Text | None) -> Truths:
    """Values that are, as a whole, what is sought; wildcards count."""
    left, right = node.arguments
    if asked is not None and has_wildcard(asked.glob):
        if isinstance(value, Texts):
            hit = hits(value.names, asked)
            scope.met(value, asked, bool(hit.any()), exact=False)
            return Truths(of_codes(hit, value.codes))
        if isinstance(value, Numbers) and value.classes is not None:
            hit = hits(np.array(value.classes, object), asked)
            return Truths(np.isin(value.values, class_numbers(scope, value, left, asked, hit)) & present(value))
    found = compare(scope, nodes.Compare("=", left, right, place=node.place), value, sought)
    if not isinstance(found, Truths):
        raise scope.refuse(right.place, "contains looks for one value, received a list")
    return found
