"""Import torch and diffusers without what one process on one device does not use.

diffusers 0.42 and transformers 5 import torch's compiler (with sympy), its sharding over machines,
peft and every transformer that diffusers knows, used or not: a third of the processor's time until
a Stable Diffusion pipeline can be built (benchmarks/worker_start.py). `show_peft` brings peft when
a LoRA comes.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar, cast

COMPILER = "torch._dynamo"
TIMES = f"{COMPILER}.utils"
"""Of the compiler: how long it took."""
UNUSED = ("torchao", "bitsandbytes", "boto3", "onnxruntime")
"""What the libraries import where it is installed, the first two with the compiler: a rung that
quantises imports its library by itself."""

INDEXING = f"{COMPILER}._trace_wrapped_higher_order_op"
PEFT = "peft"
LAYERS = f"{PEFT}.tuners.tuners_utils"

TRANSFORMERS = "diffusers.models.transformers"
"""Of which a UNet takes one. Pipelines name the module of each one that they use."""

READER = "transformers.utils.import_utils"
"""Of transformers 5. It reads every file of transformers.models, to know what each has."""

_compile_seconds = list[float]()
"""What the compiler does not time itself."""

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
    if PEFT not in sys.modules and importlib.util.find_spec(PEFT) is not None:
        _stand_in_for_peft()
    transformers = importlib.import_module("transformers")
    _read_once(importlib.import_module(READER))
    with _listing_when_asked():
        diffusers = importlib.import_module("diffusers")
    if TRANSFORMERS not in sys.modules:
        folder = Path(diffusers.__path__[0]) / "models" / "transformers"
        sys.modules[TRANSFORMERS] = _StandIn(TRANSFORMERS, folder)
    return torch, diffusers, transformers


def import_compiler() -> Any:
    """Torch's compiler in place of its stand-in."""
    began = time.perf_counter()
    if isinstance(sys.modules.get(COMPILER), _StandIn):
        compiler = _import_itself(COMPILER)
    else:
        compiler = importlib.import_module(COMPILER)
    add_compile_seconds(time.perf_counter() - began)
    return compiler


def compile_seconds() -> float:
    """What compiling has taken in this process so far, with the imports of the compiler.

    It counts too what pictures took that failed by it, or by another attention, and were made anew.
    """
    times: Any = sys.modules.get(TIMES)
    spent = 0.0 if times is None else times.calculate_time_spent()["total_wall_time"]
    return sum(_compile_seconds) + spent


def add_compile_seconds(seconds: float) -> None:
    """Count what the compiler does not time itself."""
    _compile_seconds.append(seconds)


def import_quantiser(name: str) -> Any:
    """A library that holds weights in fewer bits, with what it needs of the compiler.

    Raises:
        ImportError: It is not installed.
    """
    import_compiler()
    library = name.partition(".")[0]
    if not sys.modules.get(library, True):
        del sys.modules[library]
    return importlib.import_module(name)


def show_peft() -> None:
    """Import peft in place of its stand-in, before a LoRA is loaded.

    Raises:
        ImportError: It is not installed.
    """
    _import_itself(PEFT)


class _Distributions(Mapping[str, list[str]]):
    """Which distribution has a module, as importlib.metadata tells, once somebody asks."""

    def __getitem__(self, name: str) -> list[str]:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @functools.cached_property
    def _all(self) -> Mapping[str, list[str]]:
        return metadata.packages_distributions()


@contextmanager
def _listing_when_asked() -> Generator[None]:
    """Leave out the list of all that is installed: diffusers makes it, and seldom looks at it."""
    listing = metadata.packages_distributions
    metadata.packages_distributions = lambda: cast(Any, _Distributions())
    try:
        yield
    finally:
        metadata.packages_distributions = listing


def _read_once(reader: Any) -> None:
    """Let transformers.models take what transformers read of its files, and not read them again."""
    read = getattr(reader, "create_import_structure_from_path", None)
    if read is None or not hasattr(read, "cache_info"):
        return  # another version, which may do it otherwise

    @functools.wraps(read)
    def read_folder(path: str | Path) -> Any:
        place = Path(path)
        return read(place.parent if place.suffix == ".py" else place)

    reader.create_import_structure_from_path = read_folder


class _StandIn(ModuleType):
    """What is imported of a module that is not used; the module itself for all else."""

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


class _Layer(type):
    """The class of peft's layers: nothing is one of them until peft is imported."""

    def __instancecheck__(cls, instance: object) -> bool:
        itself = sys.modules.get(LAYERS)
        return not (itself is None or isinstance(itself, _StandIn)) and isinstance(
            instance, itself.BaseTunerLayer
        )


def _stand_in_for_peft() -> None:
    """What diffusers takes of it when it is imported itself, and in every call without a LoRA."""
    spec = importlib.util.find_spec(PEFT)
    folder = Path(next(iter((spec and spec.submodule_search_locations) or [""])))
    layer = _Layer("BaseTunerLayer", (), {})
    sys.modules |= {
        PEFT: _StandIn(PEFT, folder, PeftModel=type("PeftModel", (), {})),  # we make none
        f"{PEFT}.tuners": _StandIn(f"{PEFT}.tuners", folder / "tuners"),
        LAYERS: _StandIn(LAYERS, folder / "tuners", BaseTunerLayer=layer),
        f"{PEFT}.helpers": _StandIn(
            f"{PEFT}.helpers", folder, disable_input_dtype_casting=_disable_casting
        ),
    }


def _disable_casting(*values: Any, **named: Any) -> Any:
    show_peft()
    return importlib.import_module(f"{PEFT}.helpers").disable_input_dtype_casting(*values, **named)


def _import_itself(name: str) -> ModuleType:
    """The module in place of its stand-in, and of those of the same package."""
    package = next(
        one for one in (PEFT, TRANSFORMERS, COMPILER) if f"{name}.".startswith(f"{one}.")
    )
    for known in [n for n, module in sys.modules.items() if isinstance(module, _StandIn)]:
        if known == package or known.startswith(f"{package}."):
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
