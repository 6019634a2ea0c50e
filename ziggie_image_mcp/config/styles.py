"""The user's styles: values that go together under a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ziggie_image_mcp.config.section import Section
from ziggie_image_mcp.errors import plain_key

PROMPT = "{prompt}"
"""Where the caller's words stand in a style's prompt."""

MAX_STYLES = 200
MAX_NAME = 60

_Weight = Annotated[float, Field(ge=-4, le=4)]


class Style(Section):
    """One entry of `styles`. What is left out is decided as without a style."""

    prompt: str | None = Field(
        default=None,
        max_length=5000,
        description="The words around the caller's, which stand at {prompt}: "
        '"a watercolour of {prompt}, on rough paper".',
    )
    negative_prompt: str | None = Field(
        default=None, min_length=1, max_length=5000, description="Added to the caller's."
    )
    width: int | None = Field(default=None, ge=16, le=16_384, description="Pixels; with height.")
    height: int | None = Field(default=None, ge=16, le=16_384, description="Pixels.")
    aspect_ratio: str | None = Field(
        default=None, description="As 16:9, instead of width and height."
    )
    palette: str | None = Field(
        default=None,
        min_length=1,
        description="Of the finished picture: a name as pico-8, colours as `#ff0044 #193c3e`, or "
        "a .hex, .gpl or .png file in one of `inputDirectories`.",
    )
    loras: dict[Annotated[str, Field(min_length=1)], _Weight] = Field(
        default_factory=dict[str, float], description="LoRAs by name, each with its weight."
    )
    references: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        max_length=16,
        description="Pictures to follow: ids, or whole paths of files in `inputDirectories`.",
    )
    seed: int | Literal["random"] | None = Field(
        default=None,
        description="A number: every picture of the style has this seed, unless the caller names "
        "another. random, or left out: each has its own.",
    )
    steps: int | None = Field(default=None, ge=1, le=500, description="Sampling steps.")
    guidance_scale: float | None = Field(default=None, ge=0, le=50, description="Guidance scale.")
    sampler: str | None = Field(
        default=None, min_length=1, description="In the engine's words, as euler."
    )
    scheduler: str | None = Field(
        default=None, min_length=1, description="In the engine's words, as normal."
    )
    transparent: bool = Field(default=False, description="A subject on a transparent ground.")
    seamless: bool = Field(default=False, description="A tile that repeats without a seam.")
    model: str | None = Field(
        default=None, min_length=1, description="Where the caller names none: an id or name."
    )
    quality: Literal["draft", "standard", "high"] | None = Field(
        default=None, description="Which models are good enough, where the caller does not say."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.model_fields_set:
            raise ValueError('a style says something, as {"prompt": "{prompt}, watercolour"}')
        if self.prompt is not None:
            if self.prompt.count(PROMPT) != 1:
                raise ValueError(f"prompt must hold {PROMPT} once, where the caller's words stand")
            if re.search("[{}]", self.prompt.replace(PROMPT, "")):
                raise ValueError(f"prompt holds braces beside {PROMPT}; take them out")
        if (self.width is None) != (self.height is None):
            raise ValueError("give width and height together, or neither")
        if self.width is not None and self.aspect_ratio is not None:
            raise ValueError("give aspectRatio or width and height, not both")
        if isinstance(self.seed, int) and not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be 0 to {2**32 - 1}, or random")
        return self


def check_names(styles: Mapping[str, Style]) -> None:
    """Refuse names that cannot be told apart without case, blanks and dashes.

    Raises:
        ValueError: Two are the same, one is none, or there are too many.
    """
    if len(styles) > MAX_STYLES:
        raise ValueError(f"at most {MAX_STYLES} styles")
    names: dict[str, str] = {}
    for name in styles:
        key = _key(name)
        if not key or len(name) > MAX_NAME:
            raise ValueError(f"{name!r} is no name of a style: 1 to {MAX_NAME} characters")
        if key in names:
            raise ValueError(f"{names[key]!r} and {name!r} are one name")
        names[key] = name


def style_named(text: str, styles: Mapping[str, Style]) -> str:
    """The style that is meant by a name, in whatever case and with blanks or dashes; else empty."""
    return next((name for name in styles if _key(name) == _key(text)), "")


def _key(name: str) -> str:
    return plain_key(name.replace(" ", ""))
