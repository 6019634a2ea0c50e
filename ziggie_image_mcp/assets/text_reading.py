"""Read the words in a picture, and compare them with those that a prompt puts in quotes.

By rapidocr with the models in its wheel (PP-OCR, Apache-2.0): nothing is fetched. It is loaded at
the first use, and a second or more of processor time goes into a picture.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from ziggie_image_mcp.provider.onnx_runtime import load_onnx_runtime

if TYPE_CHECKING:
    from PIL import Image

EXTRA = "verify"
"""Of this distribution, which installs the reader."""
MAX_PHRASES = 8
MAX_CHARACTERS = 80
"""Of a phrase: longer ones are speech or code, and no lettering."""
LONGEST_SIDE = 1536
"""Pixels: larger pictures are read smaller."""

_QUOTED = re.compile(r'(?<!\d)"([^"\n]+)"|“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»')
_reading = threading.Lock()


def is_installed() -> bool:
    """Whether words can be read here."""
    return importlib.util.find_spec("rapidocr") is not None


def quoted_phrases(prompt: str) -> list[str]:
    """What a prompt puts in quotes, each once.

    >>> quoted_phrases('a sign that says "OPEN LATE"')
    ['OPEN LATE']
    """
    phrases = ("".join(groups).strip() for groups in _QUOTED.findall(prompt))
    fitting = (p for p in phrases if len(p) <= MAX_CHARACTERS and _letters(p))
    return list(dict.fromkeys(fitting))[:MAX_PHRASES]


def read_lines(image: Image.Image) -> list[str]:
    """The lines of text in a picture, from top to bottom.

    Raises:
        ModuleNotFoundError: The extra is not installed.
    """
    import numpy as np

    from ziggie_image_mcp.provider.pictures import on_white

    plain = on_white(image)
    plain.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    with _reading:  # its sessions are for one thread at a time
        answer = _reader()(np.asarray(plain)[:, :, ::-1])
    return [str(text) for text in answer.txts or ()]


def missing_phrases(phrases: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Those phrases that do not stand in the lines, whatever their case, blanks and signs.

    A phrase may go over several lines: then each of its words is there.
    """
    whole = _letters("".join(lines))
    words = {_letters(word) for line in lines for word in line.split()}

    def is_there(phrase: str) -> bool:
        parts = [part for word in phrase.split() if (part := _letters(word))]
        return _letters(phrase) in whole or all(part in words for part in parts)

    return [phrase for phrase in phrases if not is_there(phrase)]


@cache
def _reader() -> Any:
    """The reader, which says nothing on the console."""
    log = logging.getLogger("RapidOCR")
    log.setLevel(logging.CRITICAL)
    load_onnx_runtime()  # silent, before rapidocr imports it
    from rapidocr import RapidOCR  # pyright: ignore[reportMissingImports, reportUnknownVariableType]

    reader = cast(Any, RapidOCR)(params={"Global.log_level": "critical"})
    log.setLevel(logging.CRITICAL)  # it has set it by itself in between
    return reader


def _letters(text: str) -> str:
    """Letters and figures alone, in small letters."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in plain if sign.isalnum())
