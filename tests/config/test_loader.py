"""The settings: what loads, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ziggie_image_mcp.config import config, loader
from ziggie_image_mcp.errors import ConfigError

ROOT = Path(__file__).parents[2]

REPORT_BLOCK = {
    "imageGeneration": {
        "enabled": True,
        "provider": "local",
        "api": {"type": "comfyui", "url": "http://localhost:8188", "timeout": 120000},
        "defaultModel": "flux.1-schnell",
        "defaultSettings": {"steps": 20, "cfg": 7.0, "sampler": "euler", "scheduler": "normal"},
        "hardware": {"gpu": "auto-detect", "vramOptimization": True},
    }
}


def write(folder: Path, data: object) -> Path:
    file = folder / "config.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return file


def test_no_config_is_a_config() -> None:
    assert loader.load(None, {}) == config.Config()


def test_the_source_reports_block_loads_as_it_stands(tmp_path: Path) -> None:
    found = loader.load(write(tmp_path, REPORT_BLOCK), {})

    assert found.provider == "local"
    assert found.api == config.Api(type="comfyui", url="http://localhost:8188", timeout=120000)
    assert found.default_model == "flux.1-schnell"
    assert found.default_settings.cfg == 7.0
    assert found.default_settings.scheduler == "normal"
    assert found.hardware.vram_optimization


def test_the_example_loads() -> None:
    found = loader.load(ROOT / "config.example.json", {})

    assert found.providers["workstation"]["type"] == "comfyui"
    assert found.models["my-style.safetensors"].steps == 25


def test_the_example_shows_every_key() -> None:
    example = json.loads((ROOT / "config.example.json").read_text(encoding="utf-8"))

    assert set(example) == set(loader.json_schema()["properties"])


def test_the_schema_names_the_keys_as_the_file_does() -> None:
    schema = loader.json_schema()

    assert "allowPaidFallback" in schema["properties"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("ZIGGIE_IMAGE_PREFERENCE", "cost", ("preference",), "cost"),
        ("ZIGGIE_IMAGE_BUDGET__PER_DAY", "2.5", ("budget", "per_day"), 2.5),
        ("ZIGGIE_IMAGE_BUDGET__PERDAY", "2.5", ("budget", "per_day"), 2.5),
        ("ZIGGIE_IMAGE_API__TIMEOUT", "5000", ("api", "timeout"), 5000),
        ("ZIGGIE_IMAGE_ENABLED", "false", ("enabled",), False),
        (
            "ZIGGIE_IMAGE_DEFAULT_MODEL",
            "sdxl",
            ("default_model",),
            "sdxl",
        ),
    ],
)
def test_the_environment_overrides_a_key_and_keeps_its_siblings(
    name: str, text: str, key: tuple[str, ...], value: object, tmp_path: Path
) -> None:
    file = write(tmp_path, {"budget": {"perImage": 0.5}, "api": {"url": "http://a:1"}})

    found = loader.load(file, {name: text})

    read: object = found
    for part in key:
        read = getattr(read, part)
    assert read == value
    assert found.budget.per_image == 0.5
    assert found.api is not None
    assert found.api.url == "http://a:1"


def test_the_environment_reaches_a_providers_settings() -> None:
    env = {"ZIGGIE_IMAGE_PROVIDERS__COMFYUI": '{"baseUrl": "http://b:2"}'}

    assert loader.load(None, env).providers == {"comfyui": {"baseUrl": "http://b:2"}}


def test_rules_of_routes_take_one_word_or_several(tmp_path: Path) -> None:
    written = {"routes": [{"when": {"quality": "draft", "task": ["inpaint"]}, "use": "local"}]}
    env = {
        "ZIGGIE_IMAGE_ROUTES": '[{"when": {"batch": 20}, "use": "local"}, {"preference": "cost"}]'
    }

    (by_file,) = loader.load(write(tmp_path, written), {}).routes
    first, second = loader.load(None, env).routes

    assert (by_file.when.quality, by_file.when.task) == (("draft",), ("inpaint",))
    assert (first.when.batch, second.use, second.preference) == (20, "auto", "cost")


def test_the_http_token_is_no_setting() -> None:
    assert loader.load(None, {"ZIGGIE_IMAGE_TOKEN": "secret"}) == config.Config()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"prefernce": "cost"}, ["`prefernce`", "`preference`"]),
        ({"budget": {"per_dya": 1}}, ["`budget.per_dya`", "`perDay`"]),
        ({"models": {"x": {"qualty": 3}}}, ["`models.x.qualty`", "`quality`"]),
        ({"preference": "cheap"}, ["`preference`", "'cost'", '"cheap"']),
        ({"api": {"timeout": 5}}, ["`api.timeout`", "1000"]),
        (
            {"routes": [{"use": "local"}, {"when": {"qualty": "high"}, "use": "cloud"}]},
            ["`routes.1.when.qualty`", "`quality`"],
        ),
        ({"routes": [{"whn": {"batch": True}, "use": "local"}]}, ["`routes.0.whn`", "`when`"]),
        ({"routes": [{"when": {"quality": "best"}, "use": "local"}]}, ["'draft'", '"best"']),
        ({"routes": [{"when": {"batch": 1}, "use": "local"}]}, ["true, false", "from 2"]),
        ({"routes": [{"when": {"task": ["outpaint"]}, "use": "local"}]}, ["'inpaint'"]),
        ({"routes": [{"when": {"batch": True}}]}, ["`routes.0`", "`use`, `preference`"]),
        ({"routes": {"use": "local"}}, ["`routes`", "must be a list"]),
        ("{nope", ["line 1"]),
        ("[1]", ["JSON object"]),
    ],
)
def test_a_mistake_is_named_with_its_key_and_file(
    data: object, said: list[str], tmp_path: Path
) -> None:
    file = write(tmp_path, data)

    with pytest.raises(ConfigError) as caught:
        loader.load(file, {})

    assert str(file) in str(caught.value)
    for part in said:
        assert part in str(caught.value)


def test_a_mistake_in_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"ZIGGIE_IMAGE_PREFERNCE.*Did you mean `preference`"):
        loader.load(None, {"ZIGGIE_IMAGE_PREFERNCE": "cost"})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="config init"):
        loader.load(tmp_path / "none.json", {})
