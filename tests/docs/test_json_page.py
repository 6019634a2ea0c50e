"""docs/json.md: each document is held to what its command prints, each exit code to the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tools.packages.manifests import ROOT
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.cli.main import app

TEXT = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
RUN, NOT_RUN = TEXT.split("Not run by that test")
ROW = re.compile(r"^\| (`.*?|each of .*?|the same .*?) \| `(\{.*?\}|list)`", re.MULTILINE)
SHAPES: dict[str, str] = dict(ROW.findall(RUN))
KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "true or false": (bool,),
    "list": (list,),
    "object": (dict,),
    "null": (type(None),),
    "anything": (object,),
}


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, in which only the built-in model is there."""
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("ZIGGIE_IMAGE_PROVIDERS__COMFYUI__ENABLED", "false")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(*words: str) -> Any:
    """The document that a command prints in this process."""
    ended = CliRunner().invoke(app, [*words, "--json"])

    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def kinds_of(text: str) -> tuple[type, ...]:
    """The types that the page's words stand for."""
    plain = text.replace(" or null", "")
    return KINDS[plain] + (KINDS["null"] if plain != text else ())


def assert_shape(row: str, data: Any) -> None:
    """The document has the keys that a row of the page names, of its types, and no other."""
    shape = SHAPES[row]
    if shape == "list":
        assert isinstance(data, list)
        return
    wanted = dict(part.split(": ") for part in shape.strip("{}").split(", "))
    names = {name.rstrip("?"): kinds_of(kind) for name, kind in wanted.items()}
    assert {name for name in wanted if not name.endswith("?")} <= data.keys() <= names.keys(), row
    for name, value in data.items():
        kinds = names[name]
        is_right = any(
            type(value) is kind or (kind is object) or (kind is float and type(value) is int)
            for kind in kinds
        )
        assert is_right, f"{row}: {name} is {value!r}"


def test_every_command_prints_the_document_of_the_page(at_home: Path) -> None:
    batch = at_home / "batch.jsonl"
    line = {"prompt": "a red circle", "steps": 1, "width": 64, "height": 64}
    batch.write_text(json.dumps(line), encoding="utf-8")
    small = ("--steps", "1", "--width", "64", "--height", "64")
    generation = "`generate`, `edit`, `process`"

    made = printed("generate", "a {red|blue} circle", *small, "-o", str(at_home / "{}.png"))[
        "results"
    ]
    for data in made:
        assert_shape(generation, data)
        assert_shape("each of `images`", data["images"][0])
    assert_shape(generation, printed("process", made[0]["images"][0]["path"], "--colors", "4"))
    speeds = printed("speed")
    assert_shape("`speed`", speeds)
    assert_shape("each of `speeds`", speeds["speeds"][0])
    plan = printed("plan", "a red circle")
    assert_shape("`plan`, and the same with `--dry-run`", plan)
    assert_shape("each of `candidates`", plan["candidates"][0])
    assert_shape("each of `rejected`", plan["rejected"][0])
    assert_shape("each of `reasons`", plan["rejected"][0]["reasons"][0])
    assert_shape("`batch --dry-run`", printed("batch", str(batch), "--dry-run"))
    (line,) = printed("batch", str(batch))
    assert_shape("`batch`, a list, each", line)
    jobs = "`jobs list`, a list, each; `jobs show`, `jobs cancel`"
    for job in printed("jobs", "list"):
        assert_shape(jobs, job)
    assert_shape(jobs, printed("jobs", "show", line["job_id"]))
    assert_shape(jobs, printed("jobs", "cancel", line["job_id"]))
    assert_shape("`jobs clean`", printed("jobs", "clean", "--pictures"))


def test_what_is_only_told_has_the_shape_of_the_page(at_home: Path) -> None:
    models = printed("models")
    assert_shape("`models`, `models list`", models)
    assert_shape("each of `models`", models["models"][0])
    findings = printed("doctor", "--skip-picture")
    assert_shape("`doctor`", findings)
    assert_shape("each of `findings`", findings["findings"][0])
    (client, *_) = printed("client-config")
    assert_shape("`client-config`, a list, each", client)
    for row, words in (
        ("`models scan`", ("models", "scan", str(at_home))),
        ("`models recommend`", ("models", "recommend")),
        ("`hardware`", ("hardware",)),
        ("`spend`", ("spend", "--balance")),
        ("`spend --open`", ("spend", "--open")),
        ("`usage`", ("usage",)),
        ("`advise`", ("advise",)),
        ("`keys list`", ("keys", "list")),
        ("`config path`, `config check`", ("config", "path")),
        ("`config path`, `config check`", ("config", "check")),
        ("`config init`", ("config", "init")),
        ("`config get`", ("config", "get", "preference")),
        ("`config set`, `config unset`", ("config", "set", "preference", "cost")),
        ("`config set`, `config unset`", ("config", "unset", "preference")),
        ("`client-config NAME`", ("client-config", "codex")),
        ("`client-config NAME --write`", ("client-config", "codex", "--write")),
    ):
        assert_shape(row, printed(*words))
    assert printed("config", "show")["preference"] == "balanced"
    assert "properties" in printed("config", "schema")


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield " ".join((*words, name)), child
        yield from commands(child, (*words, name))


def test_every_command_that_prints_json_stands_on_the_page() -> None:
    with_json = {
        name
        for name, command in commands(typer.main.get_command(app))
        if any("--json" in option.opts for option in command.params)
    }

    assert len(with_json) > 30
    assert {name for name in with_json if f"`{name}" not in TEXT} == set()


def test_the_exit_codes_are_the_codes_own() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", TEXT, re.MULTILINE)

    assert rows == [(str(code.value), code.meaning) for code in ExitCode]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["config", "path"], ExitCode.DONE),
        (["config", "get", "no.such.key"], ExitCode.FAILED),
        (["no-such-command"], ExitCode.USAGE),
        (["generate", "x", "--no-such-option"], ExitCode.USAGE),
    ],
)
def test_a_command_ends_with_the_code_of_the_table(
    words: list[str], code: ExitCode, at_home: Path
) -> None:
    assert CliRunner().invoke(app, words).exit_code == code
