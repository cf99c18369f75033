"""Globs against texts and class names: LIKE and ILIKE."""

from __future__ import annotations

import numpy as np

from mtgen.sampling.query import nodes
from mtgen.sampling.query.globs import hits, of_codes
from mtgen.sampling.query.lists import lifted
from mtgen.sampling.query.scope import Scope
from mtgen.sampling.query.values import Lists, Nothing, Numbers, Texts, Truths, Value, length, present


def class_numbers(scope: Scope, value: Numbers, node: nodes.Node, asked: nodes.Text, hit: np.ndarray) -> np.ndarray:
    """Numbers of the classes that were hit, int64.

    Raises:
        QueryError: none was.
    """
    if not hit.any():
        raise scope.unknown(asked, f"{scope.said(node, value)}", value.classes or ())
    return np.flatnonzero(hit)


def like(scope: Scope, node: nodes.Like, value: Value) -> Value:
    """`value LIKE pattern`, without the NOT; element by element in lists."""
    if isinstance(value, Lists):
        return lifted(scope, node.place, lambda inner: like(scope, node, inner), value)
    if isinstance(value, Nothing):
        return Truths(np.zeros(length(value), bool))
    asked = node.pattern
    if isinstance(value, Texts):
        hit = hits(value.names, asked, any_case=node.any_case)
        if closed(scope, value) and not hit.any() and len(value.names):
            raise scope.unknown(asked, scope.column(nodes.Column(str(value.column))), list(value.names))
        return Truths(of_codes(hit, value.codes))
    if isinstance(value, Numbers) and value.classes is not None:
        hit = hits(np.array(value.classes, object), asked, any_case=node.any_case)
        chosen = class_numbers(scope, value, node.term, asked, hit)
        return Truths(np.isin(value.values, chosen) & present(value))
    raise scope.refuse(node.place, f"LIKE needs texts, received {scope.said(node.term, value)}")


def closed(scope: Scope, value: Texts) -> bool:
    """Whether the column lists its values: a categorical, where a glob without a match is a mistake."""
    if value.column is None:
        return False
    return scope.column(nodes.Column(value.column)).dtype == "category"
