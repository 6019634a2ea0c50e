"""Import torch and diffusers without what one process on one device does not use.

diffusers 0.42 and transformers 5 import torch's compiler (with sympy), its sharding over machines
and peft at their start, used or not: a third of the processor's time until a Stable Diffusion
pipeline can be built (benchmarks/worker_start.py).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar, cast

COMPILER = "torch._dynamo"
UNUSED = ("peft", "torchao", "bitsandbytes")
"""What the libraries import where it is installed, with the compiler: no request brings a LoRA, and
a rung that quantises imports its library by itself."""

INDEXING = f"{COMPILER}._trace_wrapped_higher_order_op"

F = TypeVar("F")


def import_libraries() -> tuple[Any, Any, Any]:
    """torch, diffusers and transformers, for the first import in a process.

    Raises:
        ImportError: One of them is not installed.
    """
    torch = importlib.import_module("torch")
    if COMPILER not in sys.modules:
        _stand_in_for_compiler(Path(torch.__path__[0]) / "_dynamo")
    # As a torch without it says, of which all three know: nothing is sharded here.
    torch.distributed.is_available = _never
    for name in UNUSED:
        sys.modules.setdefault(name, cast(Any, None))  # as if it were absent
    return torch, importlib.import_module("diffusers"), importlib.import_module("transformers")


def import_quantiser(name: str) -> Any:
    """A library that holds weights in fewer bits, with what it needs of the compiler.

    Raises:
        ImportError: It is not installed.
    """
    if isinstance(sys.modules.get(COMPILER), _StandIn):
        _import_itself(COMPILER)
    library = name.partition(".")[0]
    if not sys.modules.get(library, True):
        del sys.modules[library]
    return importlib.import_module(name)


class _StandIn(ModuleType):
    """What is imported of a module where nothing is compiled; the module itself for all else."""

    def __init__(self, name: str, folder: Path, **names: object) -> None:
        super().__init__(name)
        self.__path__ = [str(folder)]
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_import_itself(self.__name__), name)


def _stand_in_for_compiler(folder: Path) -> None:
    compiler = _StandIn(
        COMPILER,
        folder,
        allow_in_graph=_unchanged,
        assume_constant_result=_unchanged,
        disable=_not_compiled,
        is_compiling=_never,
        eval_frame=SimpleNamespace(OptimizedModule=type("OptimizedModule", (), {})),
    )
    indexing = _StandIn(INDEXING, folder, TransformGetItemToIndex=_index_by_tensor)
    sys.modules |= {COMPILER: compiler, INDEXING: indexing}


def _import_itself(name: str) -> ModuleType:
    """The module in place of its stand-in, and of those below it."""
    for known in [n for n, module in sys.modules.items() if isinstance(module, _StandIn)]:
        del sys.modules[known]
    return importlib.import_module(name)


def _unchanged(function: F) -> F:
    return function


def _not_compiled(function: F | None = None, *_: object, **__: object) -> F | Callable[[F], F]:
    """A decorator, with arguments and without."""
    return _unchanged if function is None else function


def _never() -> bool:
    return False


def _index_by_tensor() -> Any:
    """The real one, when it is used: inside of it some attention masks are made."""
    return _import_itself(INDEXING).TransformGetItemToIndex()
