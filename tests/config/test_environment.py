"""Environment variables, folders and files as people and their editors write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_main import run
from ziggie_image_mcp.config import config, loader, secrets
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_providers.diffusers.settings import Settings as Diffusers
from ziggie_image_providers.openai.settings import Settings as OpenAi


def write(folder: Path, data: object) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    return file


@pytest.mark.parametrize("text", ["", "  ", "\t", "${user_config.x}", "${input:x}", "${env:X}"])
@pytest.mark.parametrize(
    "name",
    [
        "ZIGGIE_IMAGE_CONFIG",
        "ZIGGIE_IMAGE_PREFERENCE",
        "ZIGGIE_IMAGE_BUDGET__PER_DAY",
        "ZIGGIE_IMAGE_OUTPUT",
        "ZIGGIE_IMAGE_OUTPUT__DIRECTORY",
        "ZIGGIE_IMAGE_INPUT_DIRECTORIES",
        "ZIGGIE_IMAGE_DATABASE",
        "ZIGGIE_IMAGE_DEFAULT_MODEL",
        "ZIGGIE_IMAGE_PROVIDERS__OPENAI__BASE_URL",
        "ZIGGIE_IMAGE_TOKEN",
    ],
)
def test_an_empty_variable_is_unset(name: str, text: str) -> None:
    assert loader.load(None, {name: text}) == config.Config()


async def test_an_empty_key_is_none(tmp_path: Path) -> None:
    for text in ("", " ", "${user_config.openai_key}"):
        env = {"OPENAI_API_KEY": text}
        assert await secrets.find("OPENAI_API_KEY", env=env, file=tmp_path / "none") is None


@pytest.mark.parametrize(
    ("name", "text", "keys", "value"),
    [
        ("DEFAULT_MODEL", "123", "default_model", "123"),
        ("DEFAULT_MODEL", "1e5", "default_model", "1e5"),
        ("DEFAULT_MODEL", "true", "default_model", "true"),
        ("DEFAULT_MODEL", '"sdxl"', "default_model", "sdxl"),
        ("DEFAULT_MODEL", " sdxl ", "default_model", "sdxl"),
        ("DEFAULT_SETTINGS__SAMPLER", "2", "default_settings.sampler", "2"),
        ("DEFAULT_SETTINGS__CFG", "7", "default_settings.cfg", 7.0),
        ("DEFAULT_SETTINGS", '{"steps": 4}', "default_settings.steps", 4),
        ("HARDWARE__GPU", "1", "hardware.gpu", "1"),
        ("DEADLINE", "1e3", "deadline", 1000),
        ("MODELS__SDXL__STEPS", "9", "models.sdxl.steps", 9),
        ("MODELS__SDXL__ALIASES", '["1"]', "models.sdxl.aliases", ("1",)),
        ("INPUT_DIRECTORIES", '["/a", "/b"]', "input_directories", ("/a", "/b")),
        ("PROVIDERS__OPENAI__LOCAL", "true", "providers.openai.local", True),
    ],
)
def test_digits_are_text_where_a_text_belongs(
    name: str, text: str, keys: str, value: object
) -> None:
    found: Any = loader.load(None, {f"ZIGGIE_IMAGE_{name}": text})

    for key in keys.split("."):
        found = getattr(found, key) if hasattr(found, key) else found[key]
    assert found == value


def test_digits_are_what_a_providers_own_section_takes_them_for() -> None:
    env = {
        "ZIGGIE_IMAGE_PROVIDERS__OPENAI__ORGANIZATION": "1e5",
        "ZIGGIE_IMAGE_PROVIDERS__OPENAI__PROJECT": "007",
        "ZIGGIE_IMAGE_PROVIDERS__OPENAI__TIMEOUT": "2.5",
        "ZIGGIE_IMAGE_PROVIDERS__OPENAI__VERIFY_TLS": "false",
        "ZIGGIE_IMAGE_PROVIDERS__OPENAI__HEADERS__X_NUMBER": "12",
        "ZIGGIE_IMAGE_PROVIDERS__OPENAI__BUDGET__PER_DAY": "2",
    }

    found = loader.load(None, env)

    section = dict(found.providers["openai"])
    section.pop("budget")
    settings = OpenAi.model_validate(section)
    assert (settings.organization, settings.project, settings.timeout) == ("1e5", "007", 2.5)
    assert not settings.verify_tls
    assert settings.headers["x_number"].get_secret_value() == "12"
    assert loader.provider_budgets(found)["openai"].per_day == 2


@pytest.mark.parametrize(
    "written",
    ["~/p x", "$HOME/p x", "${HOME}/p x", "%USERPROFILE%/p x", "%HOME%/p x", " $MINE/p x "],
)
def test_a_folder_is_what_its_variables_stand_for(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MINE", str(tmp_path))
    monkeypatch.delenv("USERPROFILE", raising=False)
    place = str(tmp_path / "p x")
    block = {
        "output": {"directory": written},
        "inputDirectories": [written],
        "database": f"sqlite:///{written.strip()}/state",
    }

    found = loader.load(write(tmp_path, block), {})
    by_variable = loader.load(None, {"ZIGGIE_IMAGE_OUTPUT__DIRECTORY": written})

    assert config.output_dir(found) == config.output_dir(by_variable) == Path(place)
    assert config.input_roots(found) == [Path(place)] * 2
    assert found.database == f"sqlite:///{place}/state"
    settings = Diffusers.model_validate({"modelDirs": [written]})
    assert settings.model_dirs == (Path(place),)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("pictures", "as {beside}/pictures"),
        ("./pictures", "as {beside}/pictures"),
        ("../pictures", "as {beside}/../pictures"),
        ("$NOT_SET_AT_ALL/pictures", "needs the variable NOT_SET_AT_ALL"),
        ("%NOT_SET_AT_ALL%\\pictures", "needs the variable NOT_SET_AT_ALL"),
        ("C:\\Users\\me\\Pictures", "a path of Windows"),
        ("\\\\server\\share\\pictures", "a path of Windows"),
        ("~nosuchuser/x", "user that is not there"),
    ],
)
@pytest.mark.parametrize("key", ["output.directory", "inputDirectories.0"])
@pytest.mark.usefixtures("warm")
def test_a_folder_that_depends_on_who_starts_us_is_refused(
    key: str, written: str, said: str, tmp_path: Path
) -> None:
    block = {
        "output.directory": {"output": {"directory": written}},
        "inputDirectories.0": {"inputDirectories": [written]},
    }[key]

    ended = run("config", "check", config=write(tmp_path, block))

    assert ended.returncode == 1
    assert f"`{key}`" in ended.stderr
    assert said.format(beside=tmp_path) in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.usefixtures("warm")
def test_a_providers_folder_is_held_to_the_same(tmp_path: Path) -> None:
    block = {"providers": {"diffusers": {"modelDirs": ["models"]}}}

    ended = run("config", "check", config=write(tmp_path, block))

    assert ended.returncode == 1
    assert "`modelDirs.0`" in ended.stderr
    assert "is no whole path" in ended.stderr


def test_the_config_file_in_the_environment_is_held_to_the_same(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ZIGGIE_IMAGE_CONFIG: 'c.json' is no whole path"):
        loader.load(None, {"ZIGGIE_IMAGE_CONFIG": "c.json"})

    file = write(tmp_path, {"preference": "cost"})
    env = {"ZIGGIE_IMAGE_CONFIG": f" {file} "}
    assert loader.load(None, env).preference == "cost"


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"],
)
@pytest.mark.usefixtures("warm")
def test_a_config_in_any_unicode_is_read(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes('{"defaultModel": "für 画"}'.encode(encoding))

    ended = run("config", "show", config=file)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["defaultModel"] == "für 画"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{\n"defaultModel": "für"}'.encode("latin-1"), "is no UTF-8 (byte 0xFC in line 2)"),
        ('{"defaultModel": "“x”"}'.encode("cp1252"), "is no UTF-8 (byte 0x93 in line 1)"),
        (b"\xff\xfe{\0}", "looks like utf-16"),
        (b"\x89PNG\r\n\x1a\n", "is no UTF-8"),
    ],
)
@pytest.mark.usefixtures("warm")
def test_another_encoding_is_named_with_the_way_out(data: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(data)

    for ended in (run("config", "show", config=file), run("batch", str(file), "--dry-run")):
        assert ended.returncode == 1
        assert said in ended.stderr
        assert "save it as UTF-8" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
