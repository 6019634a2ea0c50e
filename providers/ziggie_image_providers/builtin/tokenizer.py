"""Read a prompt word by word, as the tokenizer.json of the tiny model says."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
"""Unicode's white space, at which the words are split; str.split also splits at control codes."""

_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read of a prompt."""

    ids: tuple[int, ...]
    """Of MAX_TOKENS tokens: the beginning, the words, the end, and filling."""
    unknown: tuple[str, ...]
    """Words that mean nothing to the model, each once."""
    unread: str
    """The words beyond the last that is read."""


class Tokenizer:
    """Words of the tiny model's world; every other word reads as unknown.

    Args:
        folder: The `tokenizer` folder of the model.
    """

    def __init__(self, folder: Path) -> None:
        config: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        inner: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        self._vocab: Mapping[str, int] = inner["model"]["vocab"]
        special = ("pad_token", "bos_token", "eos_token", "unk_token")
        self._pad, self._bos, self._eos, self._unk = (self._vocab[config[n]] for n in special)
        self.max_tokens: int = config["model_max_length"]

    def read(self, text: str) -> Reading:
        """Say which tokens the model gets for a text."""
        words = split(text)
        limit = self.max_tokens - 2
        ids = [self._vocab.get(word, self._unk) for word in words[:limit]]
        unknown = dict.fromkeys(w for w in words[:limit] if w not in self._vocab)
        row = [self._bos, *ids, self._eos]
        return Reading(
            ids=(*row, *[self._pad] * (self.max_tokens - len(row))),
            unknown=tuple(unknown),
            unread=" ".join(words[limit:]),
        )


def split(text: str) -> list[str]:
    """The words of a text: lower case, without punctuation, which separates them too."""
    plain = "".join(" " if _is_punctuation(c) else c for c in text.lower())
    return [word for word in _SPACE.split(plain) if word]


def _is_punctuation(character: str) -> bool:
    return character in _ASCII_PUNCTUATION or unicodedata.category(character).startswith("P")
