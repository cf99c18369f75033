r"""The lines of an order log: how a record becomes bytes, how bytes become records, and which records still count.

One JSON object per line, its last entry a CRC-32 of the text before it that goes on from the line before. So a line
that was changed, left out, put in or moved is found; only the end may be missing. Kinds of records, by first entry:

    order_log   the first line: settings, dataset, everything needed to make the plan again
    step        a trained step
    resumed_at  training went on at this step: later ones, logged before, were lost with the process that trained them
    epoch       the last step of an epoch was logged
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mtgen.errors import PlanError, StateError
from mtgen.plan import Batching, Shard

VERSION = 1
"""Version of the log's layout; raised when an entry changes its meaning."""

_LINE = re.compile(rb'(?P<text>\{.*),"crc32":"(?P<check>[0-9a-f]{8})"\}\n', re.DOTALL)
_RESUMED = b'{"resumed_at":'


def encode(record: Mapping[str, Any], check: int) -> tuple[bytes, int]:
    r"""One line, and its checksum; pure.

    Args:
        record: plain JSON values, at least one.
        check: checksum of the line before, 0 for the first.

    Example:
        >>> encode({"resumed_at": 3}, 0)[0]
        b'{"resumed_at":3,"crc32":"68313516"}\n'
    """
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()[:-1]
    check = zlib.crc32(text, check)
    return text + b',"crc32":"%08x"}\n' % check, check


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line whose checksum fits.

    Args:
        number: 1-based, as editors count.
        content: the bytes, line end included.
        check: its checksum.
    """

    number: int
    content: bytes
    check: int

    @property
    def resumes(self) -> bool:
        """Whether it is a `resumed_at` record; found without parsing."""
        return self.content.startswith(_RESUMED)

    def record(self) -> dict[str, Any]:
        """The record, without its checksum."""
        record: dict[str, Any] = json.loads(self.content)
        del record["crc32"]
        return record


def checked(lines: Iterable[bytes]) -> Iterator[Line]:
    """Lines with their checksums compared; a last one without its line end was torn and is left out. Pure.

    Raises:
        StateError: a line is damaged, missing or out of place; names it.
    """
    check = 0
    for number, content in enumerate(lines, start=1):
        if not content.endswith(b"\n"):
            return
        found = _LINE.fullmatch(content)
        if found is not None:
            check = zlib.crc32(found["text"], check)
        if found is None or int(found["check"], 16) != check:
            raise StateError(
                f"line {number} of the order log is damaged, or lines before it were changed: its checksum does not "
                "fit. Only a torn last line is what a killed process leaves. Restore the file from a copy, or move it "
                "away and start a new log"
            )
        yield Line(number=number, content=content, check=check)


@dataclass(frozen=True, order=True)
class Place:
    """Where a step begins: comparable whatever the number of shards was.

    Args:
        epoch: 0-based.
        position: first position of the order that the step takes, all shards together.
    """

    epoch: int
    position: int

    @staticmethod
    def of(step: int, batching: Batching) -> Place:
        """The place of a step."""
        epoch, step_in_epoch = divmod(step, batching.steps_per_epoch)
        return Place(epoch, step_in_epoch * batching.step_rows)


def batching_of(settings: Mapping[str, Any], size: int) -> Batching:
    """The batching that a header's settings describe. Pure.

    Raises:
        StateError: they describe none.
    """
    try:
        return Batching(
            size=size,
            batch_size=settings["batch_size"],
            drop_last=settings["drop_last"],
            pad_last=settings["pad_last"],
            shard=Shard(*settings["shard"]),
        )
    except (KeyError, TypeError, PlanError) as error:
        raise StateError(
            f"the log has settings that no run can have ({error}): restore the file from a copy"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Training went on at a step.

    Args:
        line: number of its line.
        step: the first step trained afterwards.
        place: where that step begins.
        batching: from here on, with the shard of the run that went on.
    """

    line: int
    step: int
    place: Place
    batching: Batching


def resume_of(line: Line, settings: Mapping[str, Any], size: int) -> Resume:
    """A `resumed_at` line as a value; pure."""
    record = line.record()
    batching = batching_of({**settings, "shard": record["shard"]}, size)
    step = record["resumed_at"]
    return Resume(line=line.number, step=step, place=Place.of(step, batching), batching=batching)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step record that counts, or one that was lost with its process.

    Args:
        line: number of its line.
        place: where the step begins.
        batching: under which it was trained.
        record: the record.
        lost: whether training went on before it later on.
    """

    line: int
    place: Place
    batching: Batching
    record: dict[str, Any]
    lost: bool


def walk(lines: Iterable[Line], first: Batching, resumes: list[Resume]) -> Iterator[Step]:
    """Step and epoch records in the order of the file, each with whether it was lost. Pure.

    Args:
        lines: all lines after the header.
        first: the batching that the header describes.
        resumes: all resumes of the log, in order.
    """
    # earliest[k]: where training was put back to by resume k or a later one.
    earliest: list[Place] = []
    for resume in reversed(resumes):
        earliest.append(min([resume.place, *earliest[-1:]]))
    earliest.reverse()
    batching, passed = first, 0
    for line in lines:
        if line.resumes:
            batching, passed = resumes[passed].batching, passed + 1
            continue
        record = line.record()
        if "step" in record:
            place = Place.of(record["step"], batching)
        else:
            # An epoch counts as long as its last step does.
            place = Place.of((record["epoch"] + 1) * batching.steps_per_epoch - 1, batching)
        lost = passed < len(resumes) and place >= earliest[passed]
        yield Step(line=line.number, place=place, batching=batching, record=record, lost=lost)
