"""Containers: one file or folder with several arrays in it, and which of them are the rows and which the keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mtgen.errors import StoreError
from mtgen.stores.base import OpenStore, Store

KEY_ATTRIBUTE = "mtgen_key"  # names the key column of a container, in the container's attributes
KEY_MEMBER = "key"  # the name that counts as keys without being named


@dataclass(frozen=True, kw_only=True)
class Container:
    """The arrays inside one file or folder.

    Args:
        location: path or URL, for messages.
        kind: what it is, for messages.
        members: name -> shape, rows first; -1 for a length that is only known after reading.
        attributes: attributes of the container itself.
        open_member: opens one member by name.
        combines: whether `open_member` also takes a comma-separated list of names, or `*`.
    """

    location: str
    kind: str
    members: Mapping[str, tuple[int, ...]]
    open_member: Callable[[str], OpenStore]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    combines: bool = False

    def choose(self, inside: str | None) -> str:
        """Name of the member with the rows: the one asked for, or the only one it can be.

        Raises:
            StoreError: no such member, or several could be meant; the text lists them.
        """
        if inside is not None:
            if inside not in self.members and not self.combines:
                raise StoreError(f"the {self.kind} has no {inside!r}, it has {self._listing()}", path=self.location)
            return inside
        names = [name for name in self.members if name != self.key_of(name)]
        if len(names) > 1:
            names = [name for name in names if len(self.members[name]) > 1] or names
        if len(names) == 1:
            return names[0]
        if not names:
            raise StoreError(f"the {self.kind} has no array of rows, it has {self._listing()}", path=self.location)
        example = f"{self.location}::{names[0]}"
        more = f', or several columns as one array: "{example},{names[1]}"' if self.combines else ""
        raise StoreError(
            f"the {self.kind} has several arrays, expected one or a name: {self._listing()}; write for instance "
            f'"{example}"{more}',
            path=self.location,
        )

    def key_of(self, member: str) -> str | None:
        """Name of the keys that belong to a member, or None; the keys of `a/b` lie beside it, as `a/key`."""
        named = self.attributes.get(KEY_ATTRIBUTE)
        if named is not None:
            if not isinstance(named, str) or named not in self.members:
                raise StoreError(
                    f"the attribute {KEY_ATTRIBUTE!r} names {named!r:.200} as the keys, but there is only "
                    f"{self._listing()}: correct the attribute",
                    path=self.location,
                )
            return str(named)
        folder, slash, _ = member.rpartition("/")
        beside = f"{folder}{slash}{KEY_MEMBER}"
        shape = self.members.get(beside, ())
        if len(shape) == 2 and shape[1] == 1 and beside != member:
            raise StoreError(
                f"{beside!r} lies beside the rows as keys do, but is {_shape_text(shape)}, expected one key per row: "
                "write it as "
                "one axis, or give another array another name, or say keys=False",
                path=self.location,
            )
        return beside if len(shape) == 1 else None

    def _listing(self) -> str:
        shown = [f"{name!r} {_shape_text(shape)}" for name, shape in list(self.members.items())[:20]]
        rest = len(self.members) - len(shown)
        return (", ".join(shown) or "nothing") + (f" and {rest} more" if rest else "")


def open_container(container: Container, inside: str | None) -> tuple[OpenStore, Store | None]:
    """The rows chosen from a container, and the keys that lie in it."""
    member = container.choose(inside)
    key = container.key_of(member)
    store = container.open_member(member)
    return store, None if key is None or key == member else container.open_member(key)


def _shape_text(shape: tuple[int, ...]) -> str:
    return (
        "(" + ", ".join("?" if length < 0 else str(length) for length in shape) + ("," if len(shape) == 1 else "") + ")"
    )
