"""`config get`, `set` and `unset`, in the real process."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest

from tests.cli.test_main import run

pytestmark = pytest.mark.usefixtures("warm")
ZIGGIE = """{
    "zebra": 1,
    "imageGeneration": {
        "provider": "auto",
        "budget": {"perDay": 2},
        "api": { "type": "comfyui" }
    },
    "alpha": [1,2]
}
"""


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(ZIGGIE, encoding="utf-8")
    return file


def test_one_setting_is_another_and_all_else_stands_as_it_stood(config: Path) -> None:
    config.chmod(0o640)

    changed = run("config", "set", "budget.perDay", "3.5", config=config)
    added = run("config", "set", "budget.per_month", "10", config=config)
    text = run("config", "set", "defaultModel", "5", config=config)
    listed = run("config", "set", "models.sd-1.5.aliases", '["sd"]', config=config)
    seen = run("config", "get", "budget.perDay", config=config)

    for done in (changed, added, text, listed):
        assert (done.returncode, done.stdout) == (0, f"{config}\n"), done.stderr
    assert seen.stdout == "3.5\n"
    assert list(json.loads(config.read_text(encoding="utf-8"))) == [
        *("zebra", "imageGeneration", "alpha")
    ]
    assert json.loads(config.read_text(encoding="utf-8"))["imageGeneration"] == {
        "provider": "auto",
        "budget": {"perDay": 3.5, "perMonth": 10},
        "api": {"type": "comfyui"},
        "defaultModel": "5",
        "models": {"sd-1.5": {"aliases": ["sd"]}},
    }
    assert '    "alpha": [1,2]\n' in config.read_text(encoding="utf-8")
    assert '        "api": { "type": "comfyui" },\n' in config.read_text(encoding="utf-8")
    assert [file.name for file in config.parent.iterdir() if file.is_file()] == ["config.json"]
    if os.name == "posix":
        assert stat.S_IMODE(config.stat().st_mode) == 0o640


def test_what_was_set_is_unset_byte_by_byte(config: Path) -> None:
    run("config", "set", "preference", "speed", config=config)
    run("config", "unset", "preference", config=config)

    again = run("config", "unset", "preference", config=config)

    assert config.read_text(encoding="utf-8") == ZIGGIE
    assert again.returncode == 0
    assert "preference is so already; nothing was changed" in again.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("budget.perDy", "2"), "There is no setting `budget.perDy`. Did you mean `budget.perDay`"),
        (("prefernce", "cost"), "Did you mean `preference`?"),
        (("models.sd.stepz", "2"), "Did you mean `models.sd.steps`?"),
        (("budget.perDay", "-1"), "`budget.perDay`: Input should be greater than or equal to 0"),
        (("preference", "fast"), "'cost', 'balanced', 'speed' or 'quality'"),
        (("provider", "comfy"), "Did you mean 'comfyui'?"),
        (("providers.comfyui.baseUrll", "http://x"), "unknown key `baseUrll`. Did you mean"),
        (("providers.openai.apiKey", "abc"), "Use `ziggie-image-mcp keys set openai`"),
        (("defaultModel", "sk-proj-0123456789abcdef"), "keys and tokens do not stand in"),
        (("budget", "[1]"), "`budget`: "),
        (("preference", "fast"), "unchanged: `preference`: "),
        (("preference", "fast"), '(value: "fast").'),
        (("budget", "2"), '`budget`: must be a block in braces, as {"perDay": 2}'),
        (("providers.openai.budget", "2"), 'must be a block in braces, as {"perDay": 2}'),
        (("providers.diffusers.modelDirs", "2"), '`modelDirs`: must be a list, as ["~/models"]'),
        (("inputDirectories", "2"), '`inputDirectories`: must be a list, as ["~/models"]'),
        (("provider", "comfy"), "openai, "),
        (("queueLimit", "1_0"), "`queueLimit`: must be a whole number"),
        (("providers.comfyui.timeout", "1_0"), "`timeout`: must be a number"),
        (("cache", "maybe"), "`cache`: must be true or false"),
        (("zebra", "2"), "There is no setting `zebra`."),
    ],
)
def test_what_would_be_wrong_is_refused_and_the_file_stays(
    words: tuple[str, str], says: str, config: Path
) -> None:
    refused = run("config", "set", *words, config=config)

    assert refused.returncode == 1
    assert says in refused.stderr
    assert "sk-proj" not in refused.stderr
    assert "Traceback" not in refused.stderr
    assert config.read_text(encoding="utf-8") == ZIGGIE


def test_a_file_that_is_not_there_is_made_and_one_that_is_no_json_is_named(tmp_path: Path) -> None:
    new, bad = tmp_path / "deep" / "config.json", tmp_path / "bad.json"
    bad.write_text("{'provider': 1}", encoding="utf-8")

    made = run("config", "set", "provider", "local", config=new)
    broken = run("config", "set", "provider", "local", config=bad)

    assert made.returncode == 0, made.stderr
    assert json.loads(new.read_text(encoding="utf-8")) == {"provider": "local"}
    assert f"{bad}: line 1, column 2" in broken.stderr
    assert bad.read_text(encoding="utf-8") == "{'provider': 1}"


def test_a_key_that_no_setting_has_can_be_taken_out_and_a_wrong_value_put_right(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"prefernce": "cost", "provider": "local"}', encoding="utf-8")

    refused = run("config", "set", "provider", "auto", config=file)
    taken = run("config", "unset", "prefernce", config=file)

    assert "`preference`" in refused.stderr
    assert taken.returncode == 0, taken.stderr
    assert json.loads(file.read_text(encoding="utf-8")) == {"provider": "local"}


def test_the_environment_that_overrides_it_is_said(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZIGGIE_IMAGE_BUDGET__PER_DAY", "7")

    changed = run("config", "set", "budget.perDay", "1", config=config)
    data = json.loads(run("config", "get", "budget.perDay", "--json", config=config).stdout)

    note = "note: budget.perDay is overridden by ZIGGIE_IMAGE_BUDGET__PER_DAY in the environment\n"
    assert changed.stderr == note
    assert data == {
        "key": "budget.perDay",
        "value": 7,
        "variables": ["ZIGGIE_IMAGE_BUDGET__PER_DAY"],
    }


@pytest.mark.skipif(os.name != "posix", reason="Windows makes links for administrators only")
def test_a_link_stays_a_link(config: Path) -> None:
    link = config.with_name("link.json")
    link.symlink_to(config)

    done = run("config", "set", "preference", "cost", config=link)

    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert '"preference": "cost"' in config.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("preference", "SPEED", "speed"),
        ("allowPaidFallback", "withinbudget", "withinBudget"),
        ("output.format", "PNG", "png"),
        ("budget.perDay", "$2", 2),
        ("providers.openai.budget.perDay", "$0.5", 0.5),
        ("inputDirectories", "~/a", "~/a"),
        ("providers.diffusers.modelDirs", "~/a", "~/a"),
        ("queueLimit", "10", 10),
    ],
)
def test_a_value_is_taken_as_people_write_it(
    key: str, text: str, value: object, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("config", "set", key, text, config=config)
    held = json.loads(config.read_text(encoding="utf-8"))["imageGeneration"]
    for part in key.split("."):
        held = held[part]
    config.write_text("{}", encoding="utf-8")
    variable = "__".join(re.sub("([A-Z])", r"_\1", part).upper() for part in key.split("."))
    monkeypatch.setenv(f"ZIGGIE_IMAGE_{variable}", text)

    checked = run("config", "check", config=config)

    assert done.returncode == 0, done.stderr
    assert held == value
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_file_keeps_its_encoding(encoding: str, config: Path) -> None:
    config.write_bytes('{"defaultModel": "ä"}'.encode(encoding))

    done = run("config", "set", "defaultModel", "ü", config=config)

    assert done.returncode == 0, done.stderr
    assert config.read_bytes() == '{"defaultModel": "ü"}'.encode(encoding)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("// mine\n{}", "line 1, column 1: JSON has no comments"),
        ('{"cache": true /* yes */}', "JSON has no comments"),
        ('{\n  # mine\n  "cache": true}', "JSON has no comments"),
        ('{"cache" true}', "Expecting ':' delimiter"),
        ('{"ImageGeneration": {}}', "`ImageGeneration`. Did you mean `imageGeneration`?"),
        ('{"image_generation": {}}', "`image_generation`. Did you mean `imageGeneration`?"),
    ],
)
def test_what_is_no_config_is_said_in_words_that_help(text: str, says: str, config: Path) -> None:
    config.write_text(text, encoding="utf-8")

    refused = run("config", "check", config=config)

    assert refused.returncode == 1
    assert says in refused.stderr
