"""Import paths in a configuration, such as `"package.module:name"`: found, imported and called.

A module is looked for in the folder `code` of the configuration too, which stands first in Python's search path while
the import runs, and only then.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mtgen import seeds
from mtgen.errors import ModelError, MtgenError, PlanError
from mtgen.settings import short


def imported(path: str, folder: Path) -> Any:
    """What an import path names.

    In the main thread, before training begins.

    Args:
        path: `"package.module:name"`; the name may have dots.
        folder: looked in first.

    Raises:
        PlanError: no such path, module or name; or the module itself raises.

    Example:
        >>> imported("collections:OrderedDict.fromkeys", Path("."))([1]) == {1: None}
        True
    """
    module, mark, name = path.partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not mark or not all(part.isidentifier() for part in parts):
        raise PlanError(f'an import path is "package.module:name", received {short(path)}')
    with searched(folder):
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise PlanError(f"{path}: the module {module!r} needs {error.name!r}, which is not here") from error
            raise PlanError(
                f"there is no module {error.name!r}, neither installed nor in {folder}: {short(path)}. `code` at the "
                "top of the configuration names the folder where yours are"
            ) from error
        except MtgenError:
            raise
        except (Exception, SystemExit) as error:  # a script that exits would end training as if it had succeeded
            raise PlanError(f"the module {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    _check_place(found, module, folder)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            public = [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            raise PlanError(
                f"{short(path)}: {getattr(found, '__name__', found)!r} has no {part!r}; it has {', '.join(public[:10])}"
            ) from error
    return found


def _check_place(found: Any, module: str, folder: Path) -> None:
    """Python keeps what was imported: a module of another folder under the same name would be taken for this one."""
    own = Path(folder, *module.split("."))
    for file in (own.with_suffix(".py"), own / "__init__.py"):
        place = getattr(found, "__file__", None)
        if file.is_file() and (place is None or not Path(place).resolve().samefile(file)):
            raise PlanError(
                f"module {module!r} is in {folder}, and another one of that name is imported already, from "
                f"{place}: rename one of them"
            )


@contextmanager
def searched(folder: Path) -> Iterator[None]:
    """While the block runs, modules are looked for in the folder too, first."""
    entry = str(folder.absolute())
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """While the block runs, Python's and NumPy's global generators begin at a seed; then they are as they were.

    Keras takes the seed of a layer or initializer that names none from Python's.

    Args:
        seed: integer >= 0.
    """
    key = seeds.key(seed, "model")
    before, before_numpy = random.getstate(), np.random.get_state()
    random.seed(key)
    np.random.seed(key % 2**32)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)


def called(function: Any, path: str, *positional: Any, arguments: Mapping[str, Any], where: str) -> Any:
    """What a function or class of the user gives.

    Args:
        function: what `imported` found.
        path: its import path, for messages.
        positional: arguments by place.
        arguments: arguments by name.
        where: section, for messages.

    Raises:
        PlanError: it cannot be called.
        ModelError: it raises.
    """
    if not callable(function):
        raise PlanError(f"{where}: {path} is {short(function)}, expected a function or a class")
    try:
        return function(*positional, **arguments)
    except MtgenError:
        raise
    except (Exception, SystemExit) as error:  # a function that exits would end training as if it had succeeded
        given = ", ".join(f"{name}={short(value)}" for name, value in arguments.items())
        raise ModelError(f"{where}: {path}({given}) raised {type(error).__name__}: {error}") from error
