"""The user's Python file, run as Python runs a script."""

from __future__ import annotations

import importlib
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import InfodiscardError, first_line


def call_function(place: str, function: str, spec: str) -> Any:
    """Runs a file and returns what a function of it returns.

    For that long, the file's folder comes first on `sys.path`, and `sys.argv` holds the file alone. Modules that it has
    imported from its folder are its own: another file may have others of the same names.

    Args:
        place: path of the file.
        function: its name, which takes no arguments.
        spec: both, as the user gave them.

    Raises:
        InfodiscardError: the file or the function is missing, raises something or ends the program.
    """
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise InfodiscardError(f"There is no file '{place}'; give the path of a Python file that exists.")
    with _as_script(path):
        build = getattr(_import(path, place), function, None)
        if not callable(build):
            raise InfodiscardError(
                f"'{place}' has no function '{function}'; give the name of one that returns the network."
            )
        try:
            return build()
        except (Exception, SystemExit) as error:
            raise InfodiscardError(
                f"'{spec}' failed with {type(error).__name__}: {first_line(error)}; fix the function."
            ) from error


def _import(path: Path, place: str) -> ModuleType:
    """Runs the file as a module with a name of its own."""
    name = "_infodiscard_" + sha256(str(path).encode()).hexdigest()[:16]
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None and module_spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module  # where dataclasses and pickling look their module up
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InfodiscardError(
            f"'{place}' cannot be imported: {type(error).__name__}: {first_line(error)}; fix the file."
        ) from error
    return module


@contextmanager
def _as_script(path: Path) -> Iterator[None]:
    """Lets a file find its neighbours and no arguments; leaves path, arguments and modules as they were before."""
    paths, known, arguments, modules = sys.path, sys.path.copy(), sys.argv, sys.modules.copy()
    hidden = _loaded({name for name in _neighbours(path.parent) if _is_foreign(name, path.parent)})
    for name in hidden:
        del sys.modules[name]
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        added = {Path(each).resolve() for each in sys.path} - {Path(each).resolve() for each in known}
        sys.path, sys.argv = paths, arguments
        sys.path[:] = known
        new = {name.partition(".")[0] for name, module in sys.modules.items() if modules.get(name) is not module}
        for name in _loaded({name for name in new if not added.isdisjoint(_folders(name))}):
            del sys.modules[name]
        sys.modules.update(hidden)


def _loaded(packages: Collection[str]) -> dict[str, ModuleType]:
    """Returns what is loaded of packages and single modules."""
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}


def _neighbours(folder: Path) -> set[str]:
    """Returns the names of the modules and packages in a folder."""
    files = {each.stem for each in folder.glob("*.py")} - {"__main__"}  # which is the running program's name
    return files | {each.parent.name for each in folder.glob("*/__init__.py")}


def _is_foreign(name: str, folder: Path) -> bool:
    """Whether a module of another folder is loaded under a neighbour's name; not one that is installed, or built in."""
    return bool(_folders(name)) and _folders(name).isdisjoint({folder, *_LIBRARIES})


_LIBRARIES = {
    Path(str(each)).resolve()
    for each in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
        Path(__file__).parents[2],
    )
}
"""Where Python's own modules, installed ones and this package are."""


def _folders(name: str) -> set[Path]:
    """Returns the folders that hold a package or module that is loaded; none if it has no file."""
    module = sys.modules.get(name)
    places: list[Any] = [*getattr(module, "__path__", ())] or [getattr(module, "__file__", None)]
    return {Path(place).resolve().parent for place in places if isinstance(place, str)}
