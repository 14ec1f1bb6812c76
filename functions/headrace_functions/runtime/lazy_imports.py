"""Modules of a framework's libraries that are imported when something of them is asked for, not before.

Half of what importing scikit-learn takes is modules that a model which answers never uses: it names them at the top of its
files, for fitting, for tests, for plots. In a pod each start pays for that, so a framework's file may say which of them can
wait (``LATE``). ``importlib.util.LazyLoader`` of the standard library does not serve: it wakes a package at
``from package import name``, makes a submodule twice which the package imports itself, and before Python 3.13 two threads may
see half a module. Here the real import is an ordinary one, under Python's own locks.
"""

import importlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

Late = Mapping[str, Sequence[str]]
"""Modules that can wait, each with the functions and classes that others take out of it while they are imported."""


def allow(modules: Late) -> None:
    """Let these modules wait from now on, where they come from the interpreter's own environment.

    What is imported already stays. A module from elsewhere (a layer, the user's files) is imported as ever, for the list was
    made for the versions in the image.
    """
    sys.meta_path.insert(0, _Finder(modules))


class _Finder:
    """Finds listed modules first. Before a submodule is looked for, the package that waits is imported, as is the rule."""

    def __init__(self, modules: Late) -> None:
        self._modules = dict(modules)
        self._waking = threading.Lock()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        del target
        if name in self._modules:
            spec = PathFinder.find_spec(name, path)
            return self._late(spec) if spec is not None and _of_the_environment(spec) else None
        package = sys.modules.get(name.rpartition(".")[0])
        if isinstance(package, _StandIn):
            self.wake(package.__name__)
            if name in sys.modules:  # by the package itself: there must be one
                return _kept(sys.modules[name])
        return None

    def wake(self, name: str) -> ModuleType:
        """The real module. From any thread: who comes second waits in ``import_module``."""
        with self._waking:  # held for no import: nobody may take away what another thread has begun to import
            self._modules.pop(name, None)
            waiting = sys.modules.get(name)
            if isinstance(waiting, _StandIn):
                del sys.modules[name]
        module = importlib.import_module(name)
        if isinstance(waiting, _StandIn):
            _adopt(module, waiting)
        return module

    def _late(self, spec: ModuleSpec) -> ModuleSpec:
        loader = _LateLoader(self.wake, self._modules[spec.name])
        late = ModuleSpec(spec.name, loader, origin=spec.origin)  # type: ignore[arg-type]  # methods are asked for, no class
        late.submodule_search_locations = spec.submodule_search_locations
        late.has_location = spec.has_location
        return late


def _adopt(package: ModuleType, waiting: ModuleType) -> None:
    """Submodules that wait, too, were found while their package did, so Python has set them in the stand-in."""
    for name, value in list(vars(waiting).items()):
        if isinstance(value, _StandIn) and not hasattr(package, name):
            setattr(package, name, value)


def _of_the_environment(spec: ModuleSpec) -> bool:
    return spec.origin is not None and Path(spec.origin).is_relative_to(sys.prefix)


class _StandIn(ModuleType):
    """In the module's place until something is asked of it that it does not have; then it passes on to the real one."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # asked by every import; a package has it
            raise AttributeError(f"module {self.__name__!r} is no package")
        loader = self.__spec__.loader if self.__spec__ is not None else None
        assert isinstance(loader, _LateLoader)
        return getattr(loader.wake(self.__name__), name)

    def __dir__(self) -> list[str]:
        return list(self.__getattr__("__dir__")())


class _LateLoader:
    def __init__(self, wake: Callable[[str], ModuleType], names: Sequence[str]) -> None:
        self.wake = wake
        self._names = names

    def create_module(self, spec: ModuleSpec) -> None:
        """The import system's own kind."""

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _StandIn  # not before: the import system asks a new module for what it has yet to set
        for name in self._names:
            setattr(module, name, LateName(self.wake, module.__name__, name))


class LateName:
    """A function or class of a module that waits: its first use imports it. Pickled as what it stands for."""

    __slots__ = ("_module", "_name", "_wake")

    def __init__(self, wake: Callable[[str], ModuleType], module: str, name: str) -> None:
        self._wake, self._module, self._name = wake, module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        del bases
        return (self._real(),)

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, self._real())

    def __subclasscheck__(self, kind: type) -> bool:
        return issubclass(kind, self._real())

    def __reduce__(self) -> tuple[Callable[[str, str], Any], tuple[str, str]]:
        return _named, (self._module, self._name)

    def _real(self) -> Any:
        return getattr(self._wake(self._module), self._name)


def _named(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _kept(module: ModuleType) -> ModuleSpec:
    """How to find a module that is there already. The module bears it meanwhile, for that is what Python then looks at."""
    module.__spec__ = ModuleSpec(module.__name__, _Kept(module))  # type: ignore[arg-type]  # its methods are asked, not its class
    return module.__spec__


class _Kept:
    """Gives the module as it is."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
