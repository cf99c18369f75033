"""Reads every module of mtgen: no wait without a deadline, and no lock held over anything that may take long.

docs/decisions/0008-no-hang.md says why. What stands in a list of exceptions here says why it may.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "mtgen").rglob("*.py"))

FORBIDDEN = {
    # Made of Python or of several steps: an interrupt within leaves them locked, or is lost.
    **dict.fromkeys(
        ["threading.Condition", "threading.Event", "threading.Semaphore", "threading.BoundedSemaphore"], "use Latch"
    ),
    **dict.fromkeys(["threading.Timer", "threading.Barrier", "threading.local"], "use a WorkerPool or in_threads"),
    # Executors wait for their threads when they are left, and again at exit; queues may wait beyond their time.
    **dict.fromkeys(["concurrent.futures", "queue", "multiprocessing", "asyncio"], "use WorkerPool, in_threads"),
    # These wait for somebody else, and have no deadline.
    **dict.fromkeys(["input", "signal.pause", "signal.sigwait", "os.wait", "os.waitpid", "os.system", "os.popen"], ""),
    **dict.fromkeys(["fcntl.lockf", "os.lockf", "os.mkfifo", "socket.socket", "socket.create_connection"], ""),
    "time.sleep": "use Latch().wait",
}

WAITS = {"wait", "join", "get", "result", "exception", "acquire", "communicate", "recv", "accept", "select", "poll"}
"""Methods that wait without an argument."""

CALLS = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "urlopen"}
"""Functions that wait unless they have a `timeout=`."""

MAY_WAIT = {
    # Pauses between retries: as long as the user's OnError says, in a thread of the loader or the user's own.
    ("mtgen/retry.py", "time.sleep"),
    # A helper for the tests of stores: it has a deadline at each `wait` and `join`.
    ("mtgen/testing/stores.py", "threading.Barrier"),
    # Contenders of the benchmark are as others write them, in processes that the benchmark ends after a deadline.
    ("mtgen/bench/contenders/ancestor.py", "queue"),
    ("mtgen/bench/contenders/ancestor.py", "threading.Event"),
    ("mtgen/bench/contenders/floors.py", "concurrent.futures"),
    # `Popen.poll` looks, and does not wait.
    ("mtgen/processes/process.py", ".poll()"),
    # `Stitcher.result` divides, and does not wait.
    ("mtgen/sampling/places/stitch.py", ".result()"),
}

MAY_LOCK = {
    "mtgen/waits.py": "what Latch and Turns are made of",
    "mtgen/crew.py": "a crew belongs to one process",
    "mtgen/callers.py": "those of a stream belong to one process",
    "mtgen/pending.py": "a batch belongs to one process",
    "mtgen/gather/stage.py": "a window of a stream belongs to one process",
    "mtgen/room.py": "starts afresh in a forked child",
    "mtgen/bench/contenders/ancestor.py": "one lock is what the algorithm of 2017 is",
}
"""Modules that have plain locks; all others use `ProcessTurns`, whose wait has a deadline and which forks free."""

QUICK = {
    # Built in, and over in a moment for what is held here.
    *("all", "any", "bool", "dict", "enumerate", "int", "isinstance", "iter", "len", "list", "max", "min", "next"),
    *("range", "reversed", "set", "sorted", "sum", "tuple", "zip", "deque", "count", "RuntimeError"),
    # Methods of dicts, lists, sets and deques.
    *("add", "append", "appendleft", "clear", "copy", "discard", "extend", "extendleft", "get", "items", "keys", "pop"),
    *("popleft", "remove", "setdefault", "update", "values"),
    # Of the interpreter, without a wait.
    *("threading.get_ident", "sys._current_frames", "time.monotonic", "os.getpid", "_thread.start_new_thread"),
}

OWN = {
    # Constructors that keep their arguments, opening a latch, which never waits, the text of Python's own RuntimeError.
    "mtgen/crew.py": {
        "Entry",
        "_Worker",
        "Latch",
        "wake.set",
        "worker.call",
        "worker.gone",
        "worker.ended.set",
        "_text",
    },
    "mtgen/callers.py": {"Entry"},
    "mtgen/room.py": {"Latch", "_File"},
}
"""Calls of our own under a lock, looked at by hand: bookkeeping. Methods of the same class are looked into instead."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def name_of(node: ast.expr) -> str:
    """`a.b.c` as text; of anything else its last name."""
    if isinstance(node, ast.Attribute):
        before = name_of(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def has_deadline(call: ast.Call) -> bool:
    """Whether a call has an argument that is no `None`, or says that it does not wait."""
    given = [*call.args, *(word.value for word in call.keywords if word.arg in ("timeout", "blocking", None))]
    return any(not (isinstance(one, ast.Constant) and (one.value is None or one.value is True)) for one in given)


def unbounded(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of each wait without a deadline."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, one.name) for one in node.names if one.name in FORBIDDEN)
        elif isinstance(node, ast.ImportFrom):
            full = [node.module or "", *(f"{node.module}.{one.name}" for one in node.names)]
            yield from ((node.lineno, one) for one in full if one in FORBIDDEN)
        elif isinstance(node, ast.Attribute) and name_of(node) in FORBIDDEN:
            yield node.lineno, name_of(node)
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            if name in FORBIDDEN and isinstance(node.func, ast.Name):
                yield node.lineno, name
            elif name == "select.poll":  # makes something to poll by
                continue
            elif isinstance(node.func, ast.Attribute) and node.func.attr in WAITS and not has_deadline(node):
                yield node.lineno, f".{node.func.attr}()"
            elif is_call_that_waits(name, node):
                yield node.lineno, name


def is_call_that_waits(name: str, call: ast.Call) -> bool:
    if name == "fcntl.flock":
        return "LOCK_NB" not in ast.unparse(call)
    known = name in CALLS or name.split(".")[-1] in CALLS
    return known and "timeout" not in {one.arg for one in call.keywords}


def locks_of(tree: ast.Module) -> set[str]:
    """Last names of what is a plain lock in a module."""
    found = set()
    for node in ast.walk(tree):
        made = name_of(node.value.func) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) else ""
        if isinstance(node, ast.Assign) and made in ("threading.Lock", "threading.RLock"):
            found |= {name_of(target).split(".")[-1] for target in node.targets}
    return found


def under_locks(tree: ast.Module) -> Iterator[ast.Call]:
    """Every call made while a plain lock is held, also in methods of the same class that are called there."""
    locks = locks_of(tree)
    for owner in ast.walk(tree):
        if isinstance(owner, ast.ClassDef):
            methods = {one.name: one for one in owner.body if isinstance(one, ast.FunctionDef)}
            blocks = [
                one
                for one in ast.walk(owner)
                if isinstance(one, ast.With)
                and any(name_of(item.context_expr).split(".")[-1] in locks for item in one.items)
            ]
            yield from _calls([line for block in blocks for line in block.body], methods, set())


def _calls(lines: list[ast.stmt], methods: dict[str, ast.FunctionDef], seen: set[str]) -> Iterator[ast.Call]:
    for line in lines:
        for node in ast.walk(line):
            if not isinstance(node, ast.Call):
                continue
            name = name_of(node.func)
            own = name.removeprefix("self.")
            if name.startswith("self.") and own in methods:
                if own not in seen:
                    seen.add(own)
                    yield from _calls(methods[own].body, methods, seen)
            else:
                yield node


def is_quick(call: ast.Call, path: str) -> bool:
    name = name_of(call.func)
    return name in QUICK | OWN.get(path, set()) or (isinstance(call.func, ast.Attribute) and call.func.attr in QUICK)


# --- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_wait_is_without_a_deadline(path: Path) -> None:
    found = set(unbounded(ast.parse(path.read_text(encoding="utf-8"))))
    wrong = {(line, name) for line, name in found if (relative(path), name) not in MAY_WAIT}
    assert wrong == set(), f"{relative(path)}: {[(line, name, FORBIDDEN.get(name, '')) for line, name in wrong]}"


def test_plain_locks_are_where_forks_and_long_work_cannot_hurt() -> None:
    found = {relative(path) for path in SOURCES if locks_of(ast.parse(path.read_text(encoding="utf-8")))}
    assert found <= MAY_LOCK.keys()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_that_may_take_long_runs_under_a_plain_lock(path: Path) -> None:
    calls = under_locks(ast.parse(path.read_text(encoding="utf-8")))
    wrong = [(call.lineno, name_of(call.func)) for call in calls if not is_quick(call, relative(path))]
    assert wrong == []


def test_the_exceptions_are_needed() -> None:
    found = {
        (relative(path), name) for path in SOURCES for _, name in unbounded(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found >= MAY_WAIT


# --- the rules find what they are for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import queue",
        "from concurrent.futures import ThreadPoolExecutor",
        "import threading\nevent = threading.Event()",
        "from threading import Condition",
        "thread.join()",
        "future.result()",
        "future.result(timeout=None)",
        "lock.acquire()",
        "lock.acquire(True)",
        "jobs.get()",
        "subprocess.run(['true'])",
        "urllib.request.urlopen(url)",
        "input()",
        "fcntl.flock(file, fcntl.LOCK_EX)",
        "time.sleep(1)",
    ],
)
def test_a_wait_without_a_deadline_is_found(code: str) -> None:
    assert list(unbounded(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "', '.join(names)",
        "table.get(1)",
        "thread.join(2.0)",
        "future.result(timeout=OPEN_SECONDS)",
        "lock.acquire(timeout=1)",
        "lock.acquire(blocking=False)",
        "latch.wait(min(1, left))",
        "subprocess.run(['true'], timeout=5)",
        "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "poller = select.poll()",
    ],
)
def test_a_wait_with_a_deadline_is_left_alone(code: str) -> None:
    assert not list(unbounded(ast.parse(code)))


def test_what_takes_long_under_a_lock_is_found_also_one_call_away() -> None:
    tree = ast.parse(
        """
class Store:
    def __init__(self):
        self._lock = threading.Lock()
    def read(self):
        with self._lock:
            self.places.append(1)
            self._fill()
    def _fill(self):
        os.read(self.file, 1)
    def free(self):
        os.write(self.file, b"")
"""
    )
    wrong = [name_of(call.func) for call in under_locks(tree) if not is_quick(call, "")]
    assert wrong == ["os.read"]
