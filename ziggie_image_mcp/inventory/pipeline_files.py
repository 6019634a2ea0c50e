"""Choose which files of a repository a diffusers pipeline loads: one format, one precision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

INDEX = "model_index.json"
CONFIG = "config.json"
VARIANTS = ("fp16", "bf16")
"""Half precision, in the order in which one is taken for all components that have it."""

_SETTINGS = (".json", ".txt", ".model", ".jinja")
_WITHOUT_WEIGHTS = ("Tokenizer", "Scheduler", "Processor", "Extractor")
_KNOWN_VARIANTS = ("fp16", "bf16", "fp32", "non_ema", "ema")
_SHARD = re.compile(r"-\d{5}-of-(\d{5})")
_SHARD_INDEX = re.compile(r"\.index(\.\w+)?\.json$")


@dataclass(frozen=True, kw_only=True)
class RepoFile:
    """A file of a repository."""

    path: str
    size: int
    """Bytes."""
    sha256: str | None = None
    """Of its content, where the repository keeps it outside of git (LFS)."""
    git_oid: str | None = None
    """Its git blob id, otherwise."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is loaded of a repository."""

    files: tuple[RepoFile, ...]
    variant: str | None
    """The variant that at least one component has, as `fp16`."""
    incomplete: tuple[str, ...] = ()
    """Components without a whole set of safetensors weights."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def settings_of(selection: Selection) -> Selection:
    """The same without weights: what a single file of its family lacks."""
    files = tuple(file for file in selection.files if _is_setting(file))
    return Selection(files=files, variant=None)


def without_weights(selection: Selection, component: str) -> Selection:
    """The same without the weights of one component, which another file brings."""
    files = tuple(
        file
        for file in selection.files
        if not file.path.startswith(f"{component}/") or _is_setting(file)
    )
    return replace(selection, files=files)


def component(files: Sequence[RepoFile]) -> Selection:
    """Choose the files of a repository that is one component: its settings and its weights."""
    root = [file for file in files if "/" not in file.path]
    variant = next((v for v in VARIANTS if _weights(root, v)), None)
    weights = _weights(root, variant) or _weights(root, None)
    config = [file for file in root if file.path == CONFIG]
    return Selection(files=(*weights, *config), variant=variant if weights else None)


def select(index: Mapping[str, Any], files: Iterable[RepoFile]) -> Selection:
    """Choose the files of the components that a model_index.json names.

    Args:
        index: The content of model_index.json.
        files: All files of the repository.
    """
    by_folder: dict[str, list[RepoFile]] = {}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        if folder or name == INDEX:
            by_folder.setdefault(folder, []).append(file)
    components = _components(index)
    weighted = [name for name, kind in components if not any(w in kind for w in _WITHOUT_WEIGHTS)]
    variant = next(
        (v for v in VARIANTS if any(_weights(by_folder.get(n, []), v) for n in weighted)),
        None,
    )
    chosen = by_folder.get("", [])
    for name, _ in components:
        chosen += [file for file in by_folder.get(name, []) if _is_setting(file)]
    incomplete: list[str] = []
    for name in weighted:
        here = by_folder.get(name, [])
        weights = _weights(here, variant) or _weights(here, None)
        chosen += weights
        incomplete += [] if weights else [name]
    return Selection(
        files=tuple(sorted(chosen, key=lambda file: file.path)),
        variant=variant,
        incomplete=tuple(incomplete),
    )


def _components(index: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and class of each component; one that is null in the file is left out."""
    named: list[tuple[str, str]] = []
    for name, value in index.items():
        pair = cast("list[object]", value) if isinstance(value, list) else []
        if len(pair) == 2 and isinstance(pair[1], str):
            named.append((name, pair[1]))
    return named


def _is_setting(file: RepoFile) -> bool:
    return file.path.endswith(_SETTINGS) and not _SHARD_INDEX.search(file.path)


def _weights(files: Sequence[RepoFile], variant: str | None) -> list[RepoFile]:
    """One whole set of safetensors of this variant, with the index of its shards; or nothing."""
    same = [file for file in files if _variant(file.path) == variant]
    weights = [file for file in same if file.path.endswith(".safetensors")]
    shards = [file for file in weights if _SHARD.search(_name(file))]
    whole = [file for file in weights if file not in shards]
    if whole:
        return [min(whole, key=lambda file: file.path)]
    if not shards or not _is_complete(shards):
        return []
    indexes = [file for file in same if _SHARD_INDEX.search(file.path)]
    return [*shards, *(file for file in indexes if ".safetensors." in file.path)]


def _is_complete(shards: Sequence[RepoFile]) -> bool:
    counts = {int(found[1]) for file in shards if (found := _SHARD.search(_name(file)))}
    return counts == {len(shards)}


def _variant(path: str) -> str | None:
    pieces = re.split(r"[.-]", path.rpartition("/")[2])
    return next((name for name in _KNOWN_VARIANTS if name in pieces), None)


def _name(file: RepoFile) -> str:
    return file.path.rpartition("/")[2]
