"""Look for settings and tokenizers of a diffusers folder that are not there, or not whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ziggie_image_providers.diffusers.sentencepiece_file import is_whole_model

Components = Iterable[tuple[str, str]]
"""Name and class of each component."""

PARSED = 4 * 1024 * 1024
"""Bytes. Of a larger file only both ends are looked at: some tokenizers take half a second."""

_ENDS = 256
"""Bytes at each end of a file."""

_VOCABULARY = "vocab.json"
_MERGES = "merges.txt"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_PICTURES = "preprocessor_config.json"
_PROCESSOR = "processor_config.json"
_SCHEDULER = "scheduler_config.json"
_PIECES = ("spiece.model", "tokenizer.model")
"""Tokenizers of SentencePiece."""
_TOKENIZERS = ("tokenizer.json", _VOCABULARY, "vocab.txt", *_PIECES)
_SETTINGS = (
    "config.json",
    _SCHEDULER,
    _TOKENIZER_CONFIG,
    _PICTURES,
    _PROCESSOR,
    "tokenizer.json",
    _VOCABULARY,
)
_NO_JSON = (_MERGES, "vocab.txt", *_PIECES)

_PICTURES_ONLY = ("ImageProcessor", "Extractor")
_BARE = ("CLIPTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
"""Tokenizers that do not know by themselves how long a prompt may be, or what it is padded with."""


def has_weights(kind: str) -> bool:
    """Whether a component of this class has weights."""
    return not any(word in kind for word in ("Tokenizer", "Scheduler", "Processor", "Extractor"))


def missing_settings(path: Path, components: Components) -> list[str]:
    """Tokenizers, schedulers and processors of a folder whose files are not here."""
    return [lack for name, kind in components for lack in _missing(path / name, kind)]


def damaged_settings(path: Path, components: Components) -> str:
    """Name the first file of settings or of a tokenizer that is damaged; empty where none is."""
    for name, _ in components:
        for file in _SETTINGS:
            if is_file(path / name / file) and not is_whole(path / name / file):
                return f"{name}/{file} is cut off, or no JSON"
        for file in _NO_JSON:
            if is_file(path / name / file) and not _size(path / name / file):
                return f"{name}/{file} is empty"
        for file in _PIECES:
            if is_file(path / name / file) and not is_whole(path / name / file):
                return f"{name}/{file} is cut off, or no SentencePiece model"
    return ""


def needs_sentencepiece(path: Path) -> bool:
    """Whether a tokenizer of a folder is one of T5 in the form that only that package reads."""
    words = (folder / "spiece.model" for folder in path.glob("tokenizer*"))
    return any(is_file(one) and not is_file(one.with_name("tokenizer.json")) for one in words)


def damaged_index(folder: Path) -> str:
    """Name an index of shards that is damaged; empty where none is."""
    files = sorted(folder.glob("*.index*.json"))
    damaged = [file.name for file in files if not is_whole(file)]
    return f"{damaged[0]} is cut off, or no JSON" if damaged else ""


def is_file(path: Path) -> bool:
    """Whether a file is there that we may look at; Python 3.11 raises where a folder is closed."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_whole(path: Path) -> bool:
    """Whether a file is whole: a JSON object, with all that one of its name cannot do without.

    A tokenizer of SentencePiece is a message of Protocol Buffers instead.
    """
    try:
        stat = path.stat()
        return _is_whole(path, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _is_whole(path: Path, size: int, mtime_ns: int) -> bool:
    del mtime_ns  # only a key of the cache
    if path.name in _PIECES:
        return is_whole_model(path.read_bytes())
    if size > PARSED:
        return _has_both_ends(path, size)
    value = _object(path)
    if value is None:
        return False
    if ".index." in path.name:
        return bool(value.get("weight_map"))
    return bool(value) or path.name != _VOCABULARY


def _has_both_ends(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        start = file.read(_ENDS)
        file.seek(size - _ENDS)
        end = file.read()
    return start.lstrip().startswith(b"{") and end.rstrip().endswith(b"}")


def _object(path: Path) -> Mapping[str, Any] | None:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _missing(folder: Path, kind: str) -> list[str]:
    """What a component of this class lacks in its folder."""
    if "Tokenizer" in kind:
        wanted = [_lacking_words(folder)]
        if kind.removesuffix("Fast") in _BARE or kind in _BARE:
            wanted.append(_lacking(folder, _TOKENIZER_CONFIG))
    elif "Scheduler" in kind:
        wanted = [_lacking(folder, _SCHEDULER)]
    elif any(word in kind for word in _PICTURES_ONLY):
        wanted = [_lacking_pictures(folder)]
    elif "Processor" in kind:
        wanted = [_lacking_words(folder), _lacking(folder, _TOKENIZER_CONFIG)]
        if not folder.name.startswith("tokenizer"):  # FLUX.2 has one for words alone
            wanted.append(_lacking_pictures(folder))
    else:
        return []
    return [lack for lack in wanted if lack]


def _lacking(folder: Path, file: str) -> str:
    return "" if is_file(folder / file) else f"{folder.name}/{file}"


def _lacking_words(folder: Path) -> str:
    """CLIP's and Qwen's tokenizers join words from pieces, by a file beside those."""
    files = [file for file in _TOKENIZERS if is_file(folder / file)]
    if not files:
        return f"the files of {folder.name}"
    return _lacking(folder, _MERGES) if files == [_VOCABULARY] else ""


def _lacking_pictures(folder: Path) -> str:
    """How pictures are prepared stands in a file of its own, or in that of the processor."""
    if is_file(folder / _PICTURES):
        return ""
    processor = folder / _PROCESSOR
    if not is_file(processor):
        return f"{folder.name}/{_PICTURES}"
    if not is_whole(processor) or "image_processor" in (_object(processor) or {}):
        return ""  # a damaged one is told by itself
    return f"{folder.name}/{_PICTURES}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
