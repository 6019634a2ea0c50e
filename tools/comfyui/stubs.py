"""The sitecustomize of the environment: empty torchvision and torchaudio for ComfyUI's imports."""

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

NAMES = {"torchvision", "torchaudio"}
PROGRAMS = ("main.py", "models.py")


class Empty:
    """Takes any argument, has any attribute, and wraps as a decorator."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if len(args) == 1 and callable(args[0]) else self


class EmptyModule(types.ModuleType):
    """Has any class that is asked for."""

    __path__: Sequence[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Empty,), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the two packages and all below, in ComfyUI's processes alone."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        program = sys.argv[0] if getattr(sys, "argv", None) else ""
        if name.split(".")[0] in NAMES and program.endswith(PROGRAMS):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return EmptyModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


sys.meta_path.append(Finder())
