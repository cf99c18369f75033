"""What the project promises about itself: file sizes, names, what an import costs, what is public, what is tracked."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

import mtgen

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "mtgen").rglob("*.py"))
MOST_LINES = 400

HEAVY = {"jax", "jaxlib", "keras", "matplotlib", "tensorflow", "torch"}
"""Never loaded by `import mtgen` or `mtgen --help`."""

LAZY = HEAVY | {"bcolz", "blosc2", "cv2", "h5py", "pyarrow", "scipy", "simplejpeg", "tensorstore", "zarr"}
"""Imported inside functions only."""

HOMES = {f"mtgen/adapters/{name}.py": name for name in ("keras", "tensorflow", "torch")} | {
    "mtgen/adapters/learning_rate.py": "keras",  # a schedule is a class of Keras
    "mtgen/bench/contenders/keras_pydataset.py": "keras",  # worker processes find the class by its name
}
"""Files that may import a backend as they load; nothing loads the file before that backend is wanted."""

PUBLIC = [
    "Batch",
    "ClassNumbers",
    "ClassWeights",
    "Columns",
    "Dataset",
    "Images",
    "Loader",
    "MtgenError",
    "OnError",
    "OneHot",
    "OrderLog",
    "Patches",
    "PictureCache",
    "Placement",
    "Prefetch",
    "Recipe",
    "Rows",
    "Sealed",
    "Shard",
    "Splits",
    "Volumes",
    "compat",
    "errors",
    "from_dataframe",
    "join",
    "open_store",
    "pack",
    "pack_images",
    "read_table",
    "testing",
]
"""`mtgen.__all__`, pinned: a name comes or goes only together with a line of the changelog."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- files ------------------------------------------------------------------------------------------------------------


def test_no_file_is_too_long() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_module_is_called_utils_or_hides_a_standard_one() -> None:
    names = {relative(path): path.parent.name if path.name == "__init__.py" else path.stem for path in SOURCES}
    vague = {path for path, name in names.items() if name in {"common", "helpers", "misc", "util", "utils"}}
    hiding = {path for path, name in names.items() if name in sys.stdlib_module_names - {"__main__"}}
    assert vague | hiding == set()


def test_every_module_says_first_what_it_is_for() -> None:
    empty = [relative(path) for path in SOURCES if not ast.get_docstring(parse(path)) and path.stat().st_size]
    assert empty == []


def test_pyproject_is_three_lines() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "[build-system]"
    assert len(lines) == 3


# --- imports ----------------------------------------------------------------------------------------------------------


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def is_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported_on_load(node: ast.AST) -> Iterator[str]:
    """Top-level packages that running this code imports; bodies of functions and TYPE_CHECKING blocks do not run."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        yield node.module.partition(".")[0]
    elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        children = node.orelse if is_type_checking(node) else ast.iter_child_nodes(node)
        for child in children:
            yield from imported_on_load(child)


def test_optional_packages_are_imported_inside_functions_only() -> None:
    found = {relative(path): set(imported_on_load(parse(path))) & LAZY for path in SOURCES}
    found = {path: names - {HOMES.get(path)} for path, names in found.items()}
    assert {path: sorted(names) for path, names in found.items() if names} == {}


def test_the_import_finder_sees_what_runs_and_only_that() -> None:
    code = """
import a.b
from c.d import e
from . import own
if TYPE_CHECKING:
    import never
else:
    import f
try:
    import g
except ImportError:
    pass
class Body:
    import h
def function():
    import never
"""
    assert sorted(imported_on_load(ast.parse(code))) == ["a", "c", "f", "g", "h"]


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["import mtgen", "mtgen --help"])
def test_neither_import_nor_help_loads_a_backend(arguments: list[str]) -> None:
    code = f"""
import json, sys
import mtgen
if {arguments!r}:
    from mtgen.cli import main
    sys.argv = ["mtgen", *{arguments!r}]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    loaded = set(json.loads(run.stdout.splitlines()[-1]))
    assert "mtgen" in loaded
    assert loaded & HEAVY == set()


# --- what is public ---------------------------------------------------------------------------------------------------


def test_public_names_are_pinned() -> None:
    assert sorted(mtgen.__all__) == PUBLIC


def test_public_names_are_sorted_there_and_listed() -> None:
    assert list(mtgen.__all__) == sorted(set(mtgen.__all__))
    assert [name for name in mtgen.__all__ if not hasattr(mtgen, name)] == []
    assert set(mtgen.__all__) <= set(dir(mtgen))


def undocumented(module: object, prefix: str) -> Iterator[str]:
    """Public functions, classes, methods and properties of one module that say nothing."""
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if isinstance(value, (classmethod, staticmethod)):
            value = value.__func__
        own = getattr(value, "__module__", None) == getattr(module, "__module__", None) or (
            inspect.ismodule(module) and getattr(value, "__module__", None) == module.__name__
        )
        if isinstance(value, (property, functools.cached_property)):
            if not inspect.getdoc(value):
                yield f"{prefix}.{name}"
        elif own and (inspect.isfunction(value) or inspect.isclass(value)):
            # A dataclass without one gets its signature as docstring: that says nothing.
            text = value.__doc__ or ""
            if not text.strip() or text.startswith(f"{name}("):
                yield f"{prefix}.{name}"
            if inspect.isclass(value):
                yield from undocumented(value, f"{prefix}.{name}")


def test_everything_public_has_a_docstring() -> None:
    missing: list[str] = []
    for found in pkgutil.walk_packages(mtgen.__path__, "mtgen."):
        needs = HOMES.get(found.name.replace(".", "/") + ".py")
        if needs and importlib.util.find_spec(needs) is None:
            continue
        if not any(part.startswith("_") for part in found.name.split(".")):
            missing.extend(undocumented(importlib.import_module(found.name), found.name))
    assert missing == []


def test_the_docstring_finder_sees_functions_classes_methods_and_properties() -> None:
    module = type(sys)("sample")
    code = '''
class Said:
    """Says."""
    def told(self):
        """Says."""
    def untold(self): ...
    @property
    def silent(self): ...
    @staticmethod
    def alone(): ...
    def _private(self): ...
def bare(): ...
'''
    exec(code, vars(module))
    assert sorted(undocumented(module, "sample")) == [
        "sample.Said.alone",
        "sample.Said.silent",
        "sample.Said.untold",
        "sample.bare",
    ]


# --- what is tracked --------------------------------------------------------------------------------------------------

# Written so that this file does not match itself.
FORBIDDEN = [
    r"pypi[.]org",
    r"pythonhosted[.]org",
    r"registry[.]npmjs",
    r"deb[.]debian[.]org",
    r"find-links *=",
    r"(^|[^A-Za-z0-9_.~-])/(root|work)/",
]


def test_nothing_tracked_names_a_registry_or_a_path_of_one_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    patterns = [part for pattern in FORBIDDEN for part in ("-e", pattern)]
    command = ["git", "-C", str(ROOT), "grep", "--untracked", "-I", "-n", "-i", "-E", *patterns]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize(
    "line",
    ["see https://pypi" + ".org/simple", "open('/ro" + "ot/data')", "cd /wo" + "rk/main", "find-links " + "= x"],
)
def test_the_patterns_match_what_they_are_for(line: str) -> None:
    assert any(re.search(pattern, line, re.IGNORECASE) for pattern in FORBIDDEN)


def test_what_the_makefile_calls_exists() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = set(re.findall(r"scripts/\w+\.(?:py|sh)", text))
    assert called
    assert {path for path in called if not (ROOT / path).is_file()} == set()


def test_ci_runs_targets_of_the_makefile_and_nothing_else() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    listed = next(line for line in commands if line.startswith("for target in "))
    wanted = set(listed.removeprefix("for target in ").removesuffix("; do").split())
    assert wanted <= targets
    others = [
        line for line in commands if not re.match(r"(set|cd|exec|for|done|echo|make --no-print-directory)\b", line)
    ]
    assert others == []
