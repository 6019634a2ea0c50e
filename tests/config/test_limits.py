"""What no setting may be is named, in one line, and no secret of the settings is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.cli.test_main import run
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.provider.redaction import hidden_settings
from ziggie_image_mcp.provider.settings import HttpSettings

SECRETS = ("hunter2", "s3cr3t", "abcdef0123456789", "Zm9vYmFy", "letmein")


def write(folder: Path, data: object) -> Path:
    file = folder / "config.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return file


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"budget": {"perDay": Infinity}}', "budget.perDay"),
        ('{"budget": {"perImage": NaN}}', "budget.perImage"),
        ('{"budget": {"perMonth": 1e9}}', "budget.perMonth"),
        ('{"budget": {"confirmAbove": HUGE}}', "budget.confirmAbove"),
        ('{"deadline": HUGE}', "deadline"),
        ('{"deadline": 9999999999}', "deadline"),
        ('{"deadline": Infinity}', "deadline"),
        ('{"keepJobs": 99999999}', "keepJobs"),
        ('{"queueLimit": HUGE}', "queueLimit"),
        ('{"api": {"timeout": HUGE}}', "api.timeout"),
        ('{"defaultSettings": {"cfg": NaN}}', "defaultSettings.cfg"),
        ('{"models": {"m": {"quality": NaN}}}', "models.m.quality"),
        (
            '{"providers": {"diffusers": {"stepSeconds": Infinity}}}',
            "providers.diffusers.stepSeconds",
        ),
        (
            '{"providers": {"openai": {"budget": {"perDay": HUGE}}}}',
            "providers.openai.budget.perDay",
        ),
        ('{"providers": {"openai": {"models": {"m": {"priceUsd": Infinity}}}}}', "priceUsd"),
        (r'{"inputDirectories": ["/a\u0000b"]}', "inputDirectories.0"),
        (r'{"inputDirectories": ["/a\ud800b"]}', "inputDirectories.0"),
        ('{"inputDirectories": ["~nosuchuser/x"]}', "inputDirectories.0"),
        ('{"inputDirectories": [""]}', "inputDirectories.0"),
        (r'{"output": {"directory": "/a\u0000b"}}', "output.directory"),
        ('{"output": {"directory": "~nosuchuser/x"}}', "output.directory"),
        (r'{"database": "sqlite:////a\u0000b"}', "database"),
        (r'{"providers": {"comfyui": {"caFile": "/a\u0000b"}}}', "providers.comfyui.caFile"),
        (r'{"providers": {"a\u0000b": {}}}', "providers"),
        (r'{"api": {"url": "http://a\udfffb"}}', "api.url"),
    ],
)
def test_what_has_no_bound_or_is_no_text_is_named(text: str, key: str, tmp_path: Path) -> None:
    file = write(tmp_path, text.replace("HUGE", HUGE))

    with pytest.raises(ConfigError) as caught:
        loader.load(file, {})

    assert f"{key}`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_environment_is_held_to_the_same(tmp_path: Path) -> None:
    for name, value in (("DEADLINE", "9" * 5_000), ("BUDGET__PER_DAY", "Infinity")):
        with pytest.raises(ConfigError, match=f"environment variable ZIGGIE_IMAGE_{name}"):
            loader.load(write(tmp_path, {}), {f"ZIGGIE_IMAGE_{name}": value})


@pytest.mark.usefixtures("warm")
def test_a_section_without_bound_is_named_by_the_check(tmp_path: Path) -> None:
    wrong = write(tmp_path, {"providers": {"comfyui": {"timeout": 1e9}}})
    found = run("config", "check", config=wrong)
    right = run("config", "check", "--config", str(write(tmp_path, {"preference": "cost"})))
    missing = run("config", "check", "--config", str(tmp_path / "missing.json"))

    assert found.returncode == 1
    assert "[CONFIG_INVALID] providers.comfyui: `timeout`" in found.stderr
    assert (right.returncode, missing.returncode) == (0, 1)
    assert "is right" in right.stdout
    assert "there is no such file" in missing.stderr


@pytest.mark.usefixtures("warm")
def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    settings = {
        "api": {"type": "comfyui", "url": "http://me:hunter2@127.0.0.1:9/?token=s3cr3t"},
        "database": "postgresql://me:hunter2@127.0.0.1:9/jobs?password=s3cr3t",
        "output": {"directory": "s3://hunter2:s3cr3t@bucket/pictures"},
        "defaultModel": "sk-proj-abcdef0123456789",
        "providers": {
            "comfyui": {
                "baseUrl": "http://me:hunter2@127.0.0.1:9",
                "headers": {"X-Door": "letmein", "Authorization": "Bearer Zm9vYmFy"},
            },
            "openai": {"apiKey": "letmein", "keyName": "OPENAI_API_KEY"},
        },
    }
    file = write(tmp_path, settings)
    shown = run("config", "show", config=file)
    broken = write(tmp_path, settings | {"preference": "sk-proj-abcdef0123456789"})
    told = [run(*words, config=broken) for words in (["plan"], ["doctor"], ["config", "check"])]
    told.append(run("doctor", "--skip-picture", config=write(tmp_path, settings)))

    data = json.loads(shown.stdout)
    assert data["database"].startswith("postgresql://***@127.0.0.1:9/jobs")
    assert data["providers"]["openai"] == {"apiKey": "***", "keyName": "OPENAI_API_KEY"}
    assert set(data["providers"]["comfyui"]["headers"].values()) == {"***"}
    for ended in (shown, *told):
        assert not [s for s in SECRETS if s in ended.stdout + ended.stderr], ended
        assert "Traceback" not in ended.stderr


@pytest.mark.usefixtures("warm")
def test_a_plan_without_a_route_ends_as_generate_would(tmp_path: Path) -> None:
    off = {name: {"enabled": False} for name in ("comfyui",)}
    file = write(tmp_path, {"providers": off})
    for words in (["--model", "nosuch"], ["--provider", "nosuch"]):
        table = run("plan", "x", *words, config=file)
        data = run("plan", "x", *words, "--json", config=file)
        assert (table.returncode, data.returncode) == (1, 1)
        assert "No route is open." in table.stdout
        assert "[NO_ROUTE]" in table.stderr
        assert "nosuch" in table.stderr
        assert json.loads(data.stdout)["candidates"] == []


@pytest.mark.parametrize(
    "database",
    [
        "postgresql://me:hun/ter2@127.0.0.1:9/jobs",
        "postgresql://me:hun@ter2@127.0.0.1:9/jobs",
        "postgresql://me:hun ter2@127.0.0.1:9/jobs",
        'postgresql://me:hun"ter2@127.0.0.1:9/jobs',
        "postgresql://127.0.0.1:9/jobs?user=me&password=hun ter2",
        "postgresql://127.0.0.1:9/jobs?pass=hunter2",
    ],
)
def test_a_password_of_whatever_signs_is_hidden(database: str) -> None:
    shown = str(hidden_settings({"database": database}))

    assert "hun" not in shown
    assert "ter2" not in shown


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"caFile": "/no/such/file"}, "is no file of certificates"),
        ({"caFile": "/dev/zero"}, "and no file"),
        ({"headers": {"X-Nöme": "x"}}, "letters and signs of ASCII"),
        ({"headers": {"X": "näme"}}, "letters and signs of ASCII"),
    ],
)
def test_what_cannot_be_sent_or_trusted_is_a_config_error(
    section: dict[str, object], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        HttpSettings.model_validate({"baseUrl": "http://127.0.0.1:9"} | section)
