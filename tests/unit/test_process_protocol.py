"""What a loader and its processes say to each other, and that bytes which are something else are told from it."""

from __future__ import annotations

import errno
import os
import socket
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen import errors
from mtgen.cache.layout import Identity
from mtgen.errors import ChangedError, DecodeError, MtgenError, PlanError, named
from mtgen.processes import protocol
from mtgen.processes.failures import describe, kind_named, made_again
from mtgen.processes.memory import Layout, Progress, Slots, mapped, new_memory, rounded, thread_bytes
from mtgen.processes.protocol import Answer, Asked, Cause, Failure, Frames, Kind, ProtocolError, Request
from mtgen.processes.wire import Wire
from mtgen.promises import Promise
from mtgen.repair import repairable
from mtgen.retry import may_pass
from mtgen.spec import Spec

int64 = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(), max_size=30)  # lone surrogates too: names of files that are no UTF-8
promises = st.builds(Promise, int64, int64, st.none() | st.binary(min_size=16, max_size=16), st.just("manifest"))
asked = st.builds(Asked, int64, texts, st.none() | promises)
requests = st.builds(
    Request, st.integers(0, 2**64 - 1), st.integers(0, 2), int64, texts, st.booleans(), st.lists(asked, max_size=5)
)
causes = st.builds(Cause, texts, st.integers(0, 200), texts, texts)
failures = st.builds(
    Failure, st.integers(0, 2**32 - 1), texts, texts, st.none() | int64, st.none() | texts, st.none() | causes, texts
)
numbers = st.integers(0, 2**64 - 1)
seconds = st.floats(0, 1e9)
answers = st.builds(
    Answer,
    numbers,
    seconds,
    seconds,
    numbers,
    st.dictionaries(texts, numbers),
    st.lists(failures, max_size=3),
    st.lists(st.none() | st.builds(Identity, numbers, int64, st.binary(max_size=20)), max_size=3),
)


def body_of(frame: bytes, kind: Kind) -> bytes:
    frames = Frames()
    frames.feed(frame)
    taken = frames.take()
    assert taken is not None
    assert taken[0] == kind
    assert frames.take() is None
    return taken[1]


@given(requests)
def test_a_request_comes_back_as_it_was(request: Request) -> None:
    body = body_of(protocol.pack_request(request), Kind.JOB)
    assert protocol.unpack_request(body, ["manifest"] * 3) == request


@given(answers)
def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    assert protocol.unpack_answer(body_of(protocol.pack_answer(answer), Kind.DONE)) == answer


@given(int64, st.booleans(), texts, texts)
def test_the_small_frames_come_back_as_they_were(num_bytes: int, file: bool, kind: str, message: str) -> None:
    take = protocol.pack_take(num_bytes, file=file)
    assert protocol.unpack_take(body_of(take, Kind.TAKE)) == (num_bytes, file)
    assert protocol.unpack_give(body_of(protocol.pack_give(file=file), Kind.GIVE)) is file
    refused = body_of(protocol.pack_refused(kind, message), Kind.REFUSED)
    assert protocol.unpack_refused(refused) == (kind, message)


@given(st.lists(st.sampled_from([protocol.frame(Kind.READY), protocol.frame(Kind.DONE, b"abc")])), st.data())
def test_frames_are_taken_whole_however_they_come(sent: list[bytes], data: st.DataObject) -> None:
    stream, frames, taken = b"".join(sent), Frames(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        frames.feed(stream[:cut])
        stream = stream[cut:]
        while (one := frames.take()) is not None:
            taken.append(protocol.frame(*one))
    assert taken == sent


@given(answers, st.data())
def test_answers_that_are_cut_or_changed_are_refused_or_other_answers(answer: Answer, data: st.DataObject) -> None:
    """Whatever a process sends, the loader gets numbers and texts or a `ProtocolError`."""
    body = body_of(protocol.pack_answer(answer), Kind.DONE)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ProtocolError):
        protocol.unpack_answer(body[:cut])
    with pytest.raises(ProtocolError):
        protocol.unpack_answer(body + b"\0")
    changed = bytearray(body)
    changed[cut] ^= data.draw(st.integers(1, 255))
    try:
        other = protocol.unpack_answer(bytes(changed))
    except ProtocolError:
        return
    assert isinstance(other, Answer)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_understood(noise: bytes) -> None:
    for unpack in (
        protocol.unpack_answer,
        protocol.unpack_take,
        protocol.unpack_give,
        protocol.unpack_refused,
        lambda body: protocol.unpack_request(body, [""]),
    ):
        try:
            unpack(noise)
        except ProtocolError:
            continue
    frames = Frames()
    frames.feed(noise)
    try:
        while frames.take() is not None:
            pass
    except ProtocolError:
        pass


def test_a_frame_too_long_is_refused_before_it_comes() -> None:
    frames = Frames()
    frames.feed((protocol.MOST_BYTES + 1).to_bytes(4, "little") + b"\x02")
    with pytest.raises(ProtocolError, match="268,435,457 bytes"):
        frames.take()


# --- errors -----------------------------------------------------------------------------------------------------------


def raised(error: MtgenError, cause: BaseException | None) -> MtgenError:
    try:
        raise error from cause
    except MtgenError as found:
        return found


CAUSES: list[Any] = [
    None,
    OSError(errno.ESTALE, "stale", "a.png"),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "a.png"),
    OSError(errno.EMFILE, "Too many open files"),
    MemoryError("no more"),
    ValueError("not a number"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    OSError("broken data stream"),
    __import__("struct").error("unpack requires a buffer of 4 bytes"),
]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: type(cause).__name__)
@pytest.mark.parametrize("kind", [DecodeError, ChangedError, PlanError])
def test_an_error_comes_back_with_all_that_anybody_looks_at(kind: Any, cause: Any) -> None:
    error = raised(kind("cannot read", row=7, path="a\udcff.png"), cause)
    answer = Answer(1, 0, 0, 0, {}, [describe(error, 3)])
    (failure,) = protocol.unpack_answer(body_of(protocol.pack_answer(answer), Kind.DONE)).failures
    again = made_again(failure, 4711)
    assert failure.place == 3
    assert type(again) is kind
    assert (again.message, again.row, again.path, str(again)) == (error.message, 7, "a\udcff.png", str(error))
    assert repairable(again) == repairable(error)
    assert may_pass(again) == may_pass(error)
    if isinstance(cause, OSError) and cause.errno:
        assert type(again.__cause__) is type(cause)
        assert str(again.__cause__) == str(cause)
    elif cause is not None:
        assert str(cause) in str(again.__cause__)
        assert isinstance(again.__cause__, MemoryError) == isinstance(cause, MemoryError)
    (note,) = again.__notes__
    assert note.startswith("In process 4711:\n")
    assert "raise error from cause" in note


def test_an_error_of_a_subclass_comes_as_the_one_that_is_known() -> None:
    class OwnError(DecodeError):
        pass

    assert describe(OwnError("own"), 0).kind == "DecodeError"
    assert describe(named(ZeroDivisionError("by zero"), "a.png", DecodeError), 0).message == (
        "ZeroDivisionError: by zero"
    )


@pytest.mark.parametrize("name", ["", "os", "annotations", "Any", "KeyError", "__builtins__"])
def test_what_is_no_error_of_ours_is_never_made(name: str) -> None:
    with pytest.raises(ProtocolError, match="unknown kind"):
        kind_named(name)


def test_every_error_can_be_made() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, MtgenError)]
    assert len(kinds) > 10
    assert [kind_named(one.__name__) for one in kinds] == kinds


# --- memory and wires -------------------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(1, 10**6), st.integers(1, 8))
def test_no_two_threads_share_a_byte(num_threads: int, row_bytes: int, num_slots: int) -> None:
    layout = Layout(num_threads, thread_bytes(row_bytes, num_slots))
    assert layout.thread_bytes >= row_bytes * num_slots
    assert layout.head_bytes >= 64 * num_threads
    assert layout.total_bytes == layout.head_bytes + num_threads * layout.thread_bytes
    assert layout.total_bytes % rounded(1) == 0


def test_memory_is_shared_and_goes_with_the_last_view() -> None:
    spec = Spec(shape=(3, 5), dtype=np.dtype("float32"))
    layout = Layout(2, thread_bytes(spec.row_bytes, 4))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    descriptor = new_memory(layout.total_bytes)
    one, other = (mapped(descriptor, layout) for _ in range(2))
    os.close(descriptor)
    here, there = Slots(one, layout, 1), Slots(other, layout, 1)
    values = np.arange(60, dtype=np.float32).reshape(4, 3, 5)
    there.of(spec, 4)[...] = values
    np.testing.assert_array_equal(here.of(spec, 4), values)
    assert not Slots(other, layout, 0).of(spec, 4).any()
    Progress.tell(there.progress, 3, 2)
    assert Progress.of(here.progress) == (3, 2)
    seen = int(here.progress[0])
    Progress.tell(there.progress, 3, 2)
    assert int(here.progress[0]) != seen  # the same once more is a sign of life
    del one, other, here, there
    assert before is None or len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no memory files")
def test_nobody_can_cut_the_memory() -> None:
    """A process could, and the loader's next look at it would be a bus error."""
    descriptor = new_memory(4096)
    try:
        for size in (0, 8192):
            with pytest.raises(PermissionError):
                os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def test_a_wire_ticks_while_it_waits_and_tells_an_end() -> None:
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 2:
            raise TimeoutError

    here, there = (end.detach() for end in socket.socketpair())
    wire = Wire(here, tick)
    with pytest.raises(TimeoutError):
        wire.receive()
    ticks.clear()
    with pytest.raises(TimeoutError):
        wire.send(bytes(1 << 24))  # nobody takes it
    os.close(there)
    with pytest.raises(EOFError):
        wire.receive()
    with pytest.raises(EOFError):
        wire.send(b"x")
    wire.close()
    wire.close()


def test_a_long_frame_goes_through_a_wire() -> None:
    one, other = (Wire(end.detach(), lambda: None) for end in socket.socketpair())
    body = os.urandom(3_000_000)
    sender = threading.Thread(target=lambda: one.send(protocol.frame(Kind.SETUP, body)))
    sender.start()
    assert other.receive() == (Kind.SETUP, body)
    sender.join(20)
    one.close()
    other.close()
