"""From rounds to figures: medians, spread, ratios within a class, efficiency. Arithmetic on results only.

A result is what `--json` writes, as plain dictionaries, so that figures can be made anew from a file.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtgen.errors import StoreError


def merged(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The suites of several results, each once, for runs that measured one class at a time.

    Args:
        results: of a contender in several the last one counts.

    Raises:
        StoreError: results of the same suite with other settings.
    """
    suites: dict[str, dict[str, Any]] = {}
    for suite in (suite for result in results for suite in result["suites"]):
        known = suites.setdefault(suite["suite"], {**suite, "contenders": []})
        if known["settings"] != suite["settings"]:
            differing = [name for name, value in suite["settings"].items() if known["settings"].get(name) != value]
            raise StoreError(
                f"two results of the suite {suite['suite']} differ in {', '.join(differing)}, so they cannot stand in "
                "one table: measure both with the same settings"
            )
        given = {(one["group"], one["name"]): one for one in suite["contenders"]}
        kept = [one for one in known["contenders"] if (one["group"], one["name"]) not in given]
        known["contenders"] = kept + list(given.values())
    return list(suites.values())


@dataclass(frozen=True, kw_only=True)
class Line:
    """One contender's figures; None where there is nothing to say.

    Args:
        name: of the contender.
        group: its class.
        family: `"mtgen"`, `"other"` or `"floor"`.
        status: `"measured"`, `"not installed"`, `"not run"`, `"failed"`, `"cut off"` or `"wrong"`.
        reason: why it was not measured.
        rate: rows per second, median of the rounds.
        least: of the slowest round.
        most: of the quickest round.
        cpu: CPU seconds per 1,000 rows, median.
        own_bytes: most memory of its own, see `mtgen.bench.usage`.
        grown_bytes: of that, what came after everything was imported.
        difference: mean difference of its pictures to antialiased ones, in levels of 256.
        disk_bytes: size of what it reads.
        ratio: its rate as a multiple of the reference's, the median of the ratios within each round.
        reference: name of what the ratio is to.
        efficiency: its rate as a share of its floor's, likewise.
    """

    name: str
    group: str
    family: str
    status: str
    reason: str | None = None
    rate: float | None = None
    least: float | None = None
    most: float | None = None
    cpu: float | None = None
    own_bytes: int | None = None
    grown_bytes: int | None = None
    difference: float | None = None
    disk_bytes: int | None = None
    ratio: float | None = None
    reference: str | None = None
    efficiency: float | None = None


def rates(contender: Mapping[str, Any]) -> list[float]:
    """Rows per second of each round."""
    return [one["rows"] / one["seconds"] for one in contender.get("rounds", [])]


def ratio(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """How many times as fast the first is as the second: the median over rounds, which lie close in time.

    Example:
        >>> slow = {"rounds": [{"rows": 10, "seconds": 1.0}, {"rows": 30, "seconds": 1.0}]}
        >>> quick = {"rounds": [{"rows": 20, "seconds": 1.0}, {"rows": 60, "seconds": 1.0}]}
        >>> ratio(quick, slow)
        2.0
    """
    return statistics.median(one / other for one, other in zip(rates(first), rates(second), strict=True))


def reference_of(group: str, contenders: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What the ratios of a class are to: its reference, else the quickest of others, else nothing."""
    measured = [one for one in contenders if one["status"] == "measured" and one["group"] == group]
    chosen = [one for one in measured if one.get("reference")]
    if chosen:
        return chosen[0]
    others = [one for one in measured if one["family"] == "other"]
    return max(others, key=lambda one: statistics.median(rates(one)), default=None)


def lines(suite: Mapping[str, Any]) -> list[Line]:
    """The figures of a suite, class by class, quickest first; what was not measured stands last in its class."""
    contenders: Sequence[Mapping[str, Any]] = suite["contenders"]
    by_name = {one["name"]: one for one in contenders if one["status"] == "measured"}
    groups = list(dict.fromkeys(one["group"] for one in contenders))
    references = {group: reference_of(group, contenders) for group in groups}
    found = [_line(one, references[one["group"]], by_name.get(one.get("floor") or "")) for one in contenders]
    return sorted(found, key=lambda line: (groups.index(line.group), line.rate is None, -(line.rate or 0)))


def _line(one: Mapping[str, Any], reference: Mapping[str, Any] | None, floor: Mapping[str, Any] | None) -> Line:
    known = {"name": one["name"], "group": one["group"], "family": one["family"], "status": one["status"]}
    if one["status"] != "measured":
        return Line(**known, reason=one["reason"])
    found = rates(one)
    memory = one.get("memory") or {}
    cpus = [1000 * part["cpu_seconds"] / part["rows"] for part in one["rounds"]]
    return Line(
        **known,
        rate=statistics.median(found),
        least=min(found),
        most=max(found),
        cpu=statistics.median(cpus),
        own_bytes=memory.get("own_bytes"),
        grown_bytes=memory.get("grown_bytes"),
        difference=one["proof"]["difference"],
        disk_bytes=one.get("disk_bytes"),
        ratio=None if reference is None else ratio(one, reference),
        reference=None if reference is None else reference["name"],
        efficiency=None if floor is None else ratio(one, floor),
    )


@dataclass(frozen=True, kw_only=True)
class Added:
    """What features add to the time of pictures.

    Args:
        recipe: of the pictures.
        share: time added, as a share of the time of pictures alone; the median over rounds.
        least: of all rounds.
        most: of all rounds.
    """

    recipe: str
    share: float
    least: float
    most: float


def added(suite: Mapping[str, Any]) -> list[Added]:
    """The share of time that features add, for each recipe measured with and without them."""
    measured = [one for one in suite["contenders"] if one["status"] == "measured" and one["group"] == "overhead"]
    alone = {one["recipe"]: one for one in measured if "features" not in _kinds(one)}
    both = {one["recipe"]: one for one in measured if "features" in _kinds(one)}
    found = []
    for recipe in (name for name in alone if name in both):
        pairs = zip(rates(alone[recipe]), rates(both[recipe]), strict=True)
        shares = [first / second - 1 for first, second in pairs]
        found.append(Added(recipe=recipe, share=statistics.median(shares), least=min(shares), most=max(shares)))
    return found


@dataclass(frozen=True, kw_only=True)
class Spared:
    """How many times as fast packed pictures are as the quickest loader that decodes.

    Args:
        name: of the contender with packed pictures.
        decoder: name of the quickest loader that decodes.
        ratio: the median of the ratios within each round.
    """

    name: str
    decoder: str
    ratio: float


def spared(suite: Mapping[str, Any]) -> list[Spared]:
    """What packing spares: each of mtgen's packed contenders next to the quickest one that decodes."""
    measured = [one for one in suite["contenders"] if one["status"] == "measured"]
    decoders = [one for one in measured if one["group"] in ("antialiased", "no antialias") and one["family"] != "floor"]
    packed = [one for one in measured if one["group"] == "packed" and one["family"] == "mtgen"]
    if not decoders or not packed:
        return []
    best = max(decoders, key=lambda one: statistics.median(rates(one)))
    return [Spared(name=one["name"], decoder=best["name"], ratio=ratio(one, best)) for one in packed]


def _kinds(one: Mapping[str, Any]) -> set[str]:
    return {place.partition(".")[0] for place in one["places"]}
