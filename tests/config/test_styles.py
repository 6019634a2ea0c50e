"""Styles in config.json: what loads, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.factory import service
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.config.styles import Style, style_named
from ziggie_image_mcp.errors import ConfigError


def load(folder: Path, styles: dict[str, Any]) -> Config:
    file = folder / "config.json"
    file.write_text(json.dumps({"styles": styles}), encoding="utf-8")
    return loader.load(file, {})


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"promt": "x"}, "unknown key `styles.inked.promt`. Did you mean `prompt`?"),
        ({}, "a style says something"),
        ({"prompt": "in ink"}, "prompt must hold {prompt} once"),
        ({"prompt": "{prompt} or {prompt}"}, "prompt must hold {prompt} once"),
        ({"prompt": "{red|blue} {prompt}"}, "braces beside {prompt}"),
        ({"width": 512}, "width and height together"),
        ({"width": 512, "height": 512, "aspectRatio": "1:1"}, "not both"),
        ({"width": "wide", "height": 512}, "styles.inked.width"),
        ({"seed": 2**32}, "seed must be 0 to 4294967295, or random"),
        ({"seed": "same"}, "styles.inked.seed"),
        ({"loras": {"ink": 9}}, "styles.inked.loras.ink"),
        ({"quality": "best"}, "styles.inked.quality"),
    ],
)
def test_a_style_that_makes_no_sense_is_refused_by_its_key(
    style: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, {"inked": style})

    assert message in str(error.value)


def test_two_names_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    one = {"prompt": "{prompt}, in ink"}

    with pytest.raises(ConfigError, match="'pixel art' and 'Pixel-Art' are one name"):
        load(tmp_path, {"pixel art": one, "Pixel-Art": one})


def test_a_style_is_meant_in_any_case_and_with_blanks_or_dashes() -> None:
    styles = {"Pixel Art": Style(prompt="{prompt}")}

    assert style_named("pixel-art", styles) == "Pixel Art"
    assert style_named("pixelart", styles) == "Pixel Art"
    assert style_named("pixel", styles) == ""


def test_a_variable_sets_a_part_of_a_style(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"styles": {"inked": {"prompt": "{prompt}, in ink"}}}', encoding="utf-8")

    config = loader.load(file, {"ZIGGIE_IMAGE_STYLES__INKED__SEED": "7"})

    assert config.styles["inked"].seed == 7
    assert loader.setting_named("styles.inked.negativePrompt")[0] == (
        *("styles", "inked", "negativePrompt"),
    )


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"aspectRatio": "9:1"}, "`styles.inked`: aspect_ratio='9:1' cannot be used"),
        ({"palette": "amiga"}, "`styles.inked`: palette='amiga' cannot be used"),
    ],
)
def test_what_no_request_could_have_is_refused_before_one_is_made(
    style: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        service(tmp_path, styles={"inked": style})

    assert message in str(error.value)
