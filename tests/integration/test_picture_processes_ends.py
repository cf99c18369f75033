"""Programs that decode pictures in processes: how they may be started, how they may end, and that nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

from tests.support.picture_processes import ROOT, all_gone, holders, is_running, run_python, stop, write_pictures
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="looks into /proc, as Linux has it")

NUM_ROWS = 24

HEADER = """
import os, signal, sys
from pathlib import Path
import numpy as np, pandas as pd
import mtgen
from mtgen.config import Prefetch
folder = {folder!r}
table = pd.DataFrame({{"path": sorted(os.listdir(folder)), "row": range({num_rows})}})
data = mtgen.Dataset(table, {{"image": mtgen.Images("path", root=folder, size=(12, 10))}}, targets="row")
def make_loader(**settings):
    return mtgen.Loader(data, 4, **{{"seed": 0, "prefetch": Prefetch(depth=4), **settings}})
def pids():
    return list(loader._processes.pids())
loader = make_loader(num_processes=2)
"""

SAME = """
expected = [batch.inputs["image"].tobytes() for batch in make_loader(num_workers=0).epoch(0)]
found = [batch.inputs["image"].tobytes() for batch in loader.epoch(0)]
print("same" if found == expected and pids() else "not the same", flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    write_pictures(made, NUM_ROWS)
    return made


def header(folder: Path) -> str:
    return HEADER.format(folder=str(folder), num_rows=NUM_ROWS)


# --- parents of all kinds ---------------------------------------------------------------------------------------------


def test_python_dash_c(folder: Path, tmp_path: Path) -> None:
    assert run_python(header(folder) + SAME, cwd=tmp_path) == (0, "same", "")


def test_options_of_the_interpreter_are_handed_on(folder: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + header(folder)
    assert run_python(code + SAME, "-I", "-X", "utf8", "-X", "dev", cwd=tmp_path) == (0, "same", "")


def test_a_search_path_that_the_program_made_itself(folder: Path, tmp_path: Path) -> None:
    """As in a notebook that adds a folder: no environment variable says where mtgen is."""
    (tmp_path / "json.py").write_text("raise ImportError('a file of the user that is called like a module')")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.path.append('')\n" + header(folder) + SAME
    assert run_python(code, cwd=ROOT.parent, paths=()) == (0, "same", "")


@pytest.mark.parametrize("options", [["-"], ["-i"]], ids=["a script", "interactive"])
def test_a_program_that_comes_from_the_standard_input(options: list[str], folder: Path, tmp_path: Path) -> None:
    # What is typed ends a block by an empty line.
    code = header(folder).replace("    return mtgen.Loader", "  return mtgen.Loader")
    code = code.replace("\ndef pids", "\n\ndef pids").replace("\nloader = ", "\n\nloader = ") + SAME
    done = subprocess.run(
        [sys.executable, "-q", *options],
        input=code,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


def test_a_script_without_a_guard(folder: Path, tmp_path: Path) -> None:
    """`multiprocessing` would run the script again in each process, and each would start more."""
    (tmp_path / "script.py").write_text("print('begin')\n" + header(folder) + SAME)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "begin\nsame\n", "")


def test_a_zipapp(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "__main__.py").write_text(header(folder) + SAME)
    for path in (ROOT / "mtgen").rglob("*.py"):
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    zipapp.create_archive(source, tmp_path / "app.pyz")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "app.pyz")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "same\n", "")


# --- ends -------------------------------------------------------------------------------------------------------------

UNDER_WAY = """
iterator = loader.steps(0)
while len(pids()) < 2:
    next(iterator)
print(*pids(), flush=True)
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("loader.close()", 0),
        ("del loader, iterator", 0),
        ("sys.exit(7)", 7),
        ("raise ZeroDivisionError('of the consumer')", 1),
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.abort()", -signal.SIGABRT),
    ],
    ids=["end", "close", "forgotten", "exit", "exception", "_exit", "SIGTERM", "abort"],
)
def test_every_end_of_the_program_ends_its_processes(end: str, code: int, folder: Path) -> None:
    returncode, output, errors = run_python(header(folder) + UNDER_WAY + end)
    assert returncode == code, errors
    assert errors == "" or (code == 1 and errors.endswith("ZeroDivisionError: of the consumer"))
    pids = [int(pid) for pid in output.split()]
    assert len(pids) == 2
    assert all_gone(pids)
    assert not set(pids) & set(holders())


def test_a_killed_program_leaves_no_process_and_no_memory(folder: Path) -> None:
    waits = "import select\nselect.select([sys.stdin], [], [], 60)"
    for stopped in (False, True):
        program = subprocess.Popen(
            [sys.executable, "-c", header(folder) + UNDER_WAY + waits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert program.stdout is not None
        assert program.stdin is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 2
        assert set(pids) <= set(holders())
        if stopped:
            stop(pids[0])
        program.kill()
        program.wait(20)
        program.stdin.close()
        program.stdout.close()
        if stopped:
            os.kill(pids[0], signal.SIGCONT)  # a stopped process runs no code, so it ends when it goes on
        assert all_gone(pids)
        assert not set(pids) & set(holders())


def test_processes_end_with_the_program_also_where_it_forked_another(folder: Path) -> None:
    """The forked one holds the connections open; the processes look whose children they are."""
    code = """
if os.fork() == 0:
    os.close(1)
    import select
    select.select([sys.stdin], [], [], 60)
    os._exit(0)
os._exit(0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", header(folder) + UNDER_WAY + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as program:
        assert program.stdout is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        program.wait(20)
        assert len(pids) == 2
        assert all_gone(pids)


def test_ctrl_c_is_the_programs_own(folder: Path) -> None:
    """A terminal sends it to the whole group; processes go on for the one who catches it."""
    code = """
signal.signal(signal.SIGINT, signal.default_int_handler)
before = set(pids())
try:
    os.killpg(os.getpid(), signal.SIGINT)
    import time
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
for pid in before:
    os.kill(pid, signal.SIGINT)
steps = [batch.step for batch in loader.epoch(1)]
print(len(steps) == len(loader), before <= set(pids()))
loader.close()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", header(folder) + UNDER_WAY + code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["interrupted", "True True"]


@pytest.mark.parametrize("seed", range(2))
def test_interrupts_at_many_places_never_hang_or_leave_a_process(seed: int, folder: Path) -> None:
    code = f"""
import itertools, random
expected = [batch.inputs["image"].tobytes() for batch in loader.epoch(0)]
places, interrupted = random.Random({seed}), 0
for attempt in range(8):
    countdown = itertools.count(places.randrange(1, 1500), -1)
    def tick(frame, event, argument):
        if next(countdown) == 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return tick
    sys.settrace(tick)
    try:
        list(loader.epoch(0))
        if attempt % 2:
            loader.close()
    except KeyboardInterrupt:
        interrupted += 1
    finally:
        sys.settrace(None)
    assert [batch.inputs["image"].tobytes() for batch in loader.epoch(0)] == expected
print(*pids(), interrupted > 3)
loader.close()
"""
    returncode, output, errors = run_python(header(folder) + code)
    assert (returncode, errors) == (0, "")
    *pids, interrupted = output.split()
    assert interrupted == "True"
    assert all_gone(list(map(int, pids)))


def test_a_process_loads_no_table_no_store_and_no_backend(folder: Path) -> None:
    code = """
loader.batch(0)
for pid in pids():
    mapped = Path(f"/proc/{pid}/maps").read_text()
    names = ("pandas", "numcodecs", "tensorstore", "jax", "torch", "tensorflow")
    print([name for name in names if f"/{name}/" in mapped])
"""
    returncode, output, errors = run_python(header(folder) + code)
    assert (returncode, errors) == (0, "")
    assert set(output.splitlines()) == {"[]"}


def test_is_running_sees_what_it_is_for() -> None:
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_running(program.pid)
    program.kill()
    assert eventually(lambda: not is_running(program.pid))  # before anybody waited for it
    program.communicate(timeout=20)
