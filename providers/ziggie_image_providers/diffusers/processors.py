"""Read the pictures and prompts of Qwen-VL and Mistral without torchvision. Imports transformers.

The processors of transformers 5 want torchvision for videos, which no pipeline here has, and to
resize a little faster. It must match torch to the build, so `[local]` does without it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from typing import Any

VIDEO = ("Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor")
"""Those that have a part for videos too. Pictures they give to Pillow."""
TEXT = ("PixtralProcessor",)
"""Those of which FLUX.2 uses the tokenizer and its template alone."""


def do_without_torchvision(names: Iterable[str]) -> None:
    """Where torchvision is absent, put processors that need none in the place of those that do.

    Called before a folder is read: diffusers looks in the library for the classes it names.

    Args:
        names: Of the classes of the folder's parts.
    """
    wanted = {*VIDEO, *TEXT} & set(names)
    if not wanted or importlib.util.find_spec("torchvision") is not None:
        return
    # This module makes another `transformers` of itself, which is then the one that is looked in.
    mixin = importlib.import_module("transformers.processing_utils").ProcessorMixin
    transformers = importlib.import_module("transformers")
    for name in wanted.intersection(VIDEO):
        kind = getattr(transformers, name)
        if "video_processor" in kind.get_attributes():
            setattr(transformers, name, _without_videos(kind, mixin))
    for name in wanted.intersection(TEXT):
        if not issubclass(getattr(transformers, name), mixin):
            setattr(transformers, name, _of_text(name, mixin))


def _without_videos(kind: Any, mixin: Any) -> Any:
    def __init__(
        self: Any,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        **_: object,
    ) -> None:
        for name in ("image_token", "video_token"):
            token = getattr(tokenizer, name, f"<|{name.removesuffix('_token')}_pad|>")
            setattr(self, name, token)
            setattr(self, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
        mixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    return type(kind.__name__, (kind,), {"__init__": __init__, "__module__": kind.__module__})


def _of_text(name: str, mixin: Any) -> Any:
    def __init__(
        self: Any, tokenizer: Any = None, chat_template: str | None = None, **_: object
    ) -> None:
        mixin.__init__(self, tokenizer, chat_template=chat_template)

    return type(name, (mixin,), {"__init__": __init__, "__module__": mixin.__module__})
