"""The commands about money, in the real process."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.ledger import Ledger, default_file
from ziggie_image_mcp.config import secrets
from ziggie_image_mcp.errors import AuthenticationFailed
from ziggie_image_mcp.inventory.registry import load_types
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_mcp.routing import history
from ziggie_image_mcp.routing.history import History

KEY = "sk-0123456789abcdef"
COMMAND = [sys.executable, "-m", "ziggie_image_mcp"]
pytestmark = pytest.mark.usefixtures("warm")
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no terminals of this kind")


@pytest.fixture(autouse=True)
def own_keys(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No key and no keyring of the person who runs the tests; one font cache for all tests."""
    for name in ("OPENAI_API_KEY", "REPLICATE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp() / "matplotlib"))
    monkeypatch.setenv("PYTHONUTF8", "1")


def run(
    *arguments: str, config: Path | None = None, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    before = ["--config", str(config)] if config else []
    return subprocess.run(
        [*COMMAND, *before, *arguments],
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def data(*arguments: str, config: Path | None = None) -> dict[str, Any]:
    found = run(*arguments, "--json", config=config)
    assert found.returncode == 0, found.stderr
    return dict(json.loads(found.stdout))


async def fill(file: Path) -> None:
    """A settled attempt yesterday and today, one still out, one that nobody knows of."""
    file.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    ledger = Ledger(file)
    for number, (provider, ago, images, end) in enumerate(
        [
            ("openai", 1, 2, 60_000),
            ("replicate", 1, 1, 3_000),
            ("openai", 0, 1, 40_000),
            ("openai", 0, 1, "out"),
            ("replicate", 0, 1, "unknown"),
        ]
    ):
        hold = await ledger.reserve(
            f"hold-{number}",
            provider=provider,
            model="m",
            images=images,
            estimate=50_000 * images,
            caps=Caps(),
            owner="host:1:0",
            now=now - timedelta(days=ago),
        )
        await ledger.submit(hold.id)
        if isinstance(end, int):
            await ledger.settle(hold.id, end)
        elif end == "unknown":
            await ledger.unknown(hold.id, "no answer")
    await ledger.aclose()


def without(tmp_path: Path, *packages: str) -> str:
    """A folder for PYTHONPATH in which these packages cannot be imported."""
    folder = tmp_path / "without"
    folder.mkdir()
    for package in packages:
        text = f"raise ModuleNotFoundError('no {package}', name='{package}')\n"
        (folder / f"{package}.py").write_text(text, encoding="utf-8")
    return str(folder)


@pytest.fixture
def capped(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    settings = {
        "budget": {"perDay": 1, "perMonth": 10},
        "providers": {"openai": {"budget": {"perDay": 0.5}}},
    }
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


async def test_what_is_open_is_listed_and_ended_by_hand(capped: Path) -> None:
    nothing = run("spend", "--open", config=capped)
    assert nothing.stdout == "Nothing is open.\n"
    assert not default_file().exists()
    await fill(default_file())
    async with aclosing(Ledger(default_file())) as ledger:
        await ledger.settle("hold-3", 50_000, disputed="$30,000")

    listed = run("spend", "--open", config=capped)
    rows = {r["id"]: r for r in json.loads(run("spend", "--open", "--json", config=capped).stdout)}
    disputed = run("spend", "settle", "hold-3", "0.06", config=capped)
    unknown = run("spend", "settle", "hold-4", "none", config=capped)
    again = run("spend", "settle", "hold-4", "none", config=capped)
    empty = run("spend", "--open", config=capped)

    assert set(rows) == {"hold-3", "hold-4"}
    assert (rows["hold-3"]["state"], rows["hold-3"]["claim"]) == ("disputed", "$30,000")
    assert "the vendor claims $30,000" in rows["hold-3"]["known"]
    assert rows["hold-4"]["state"] == "unknown"
    assert "hold-3" in listed.stdout
    assert disputed.stdout == "hold-3: settled, $0.06\n"
    assert unknown.stdout == "hold-4: settled, $0.00\n"
    assert again.returncode == 1
    assert "it is settled for good" in again.stderr
    assert empty.stdout == "Nothing is open.\n"
    async with aclosing(Ledger(default_file())) as ledger:
        notes = {h.id: h.note for h in await ledger.holds()}
    assert "Ended by hand on " in notes["hold-3"]
    assert "it cost $0.06." in notes["hold-3"]
    assert "nothing was charged." in notes["hold-4"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no-such", "1"), "[INVALID_REQUEST] ID='no-such'"),
        (("hold-4", "-1"), "say the US dollars"),
        (("hold-4", "nan"), "say the US dollars"),
        (("hold-4", "inf"), "say the US dollars"),
        (("hold-4", "much"), "say the US dollars"),
        (("hold-4", "1_0"), "say the US dollars"),
        (("hold-4", "1e1"), "say the US dollars"),
        (("hold-4", "٣"), "say the US dollars"),
        (("hold-0", "1"), "it is settled for good"),
    ],
)
async def test_a_wrong_settlement_is_refused(
    arguments: tuple[str, str], says: str, capped: Path
) -> None:
    await fill(default_file())

    found = run("spend", "settle", "--", *arguments, config=capped)

    assert found.returncode == 1
    assert says in found.stderr


@pytest.mark.parametrize("command", ["spend", "advise"])
def test_looking_at_a_ledger_that_is_not_there_makes_none(command: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "config.json"
    url = f"sqlite:///{(tmp_path / 'own' / 'l.sqlite3').as_posix()}"
    elsewhere.write_text(json.dumps({"database": url}), encoding="utf-8")

    found = [run(command), run(command, config=elsewhere)]

    for one in found:
        assert one.returncode == 0, one.stderr
        assert "Nothing spent yet" in one.stdout or "Nothing was spent" in one.stdout
    assert not default_file().parent.exists()
    assert not (tmp_path / "own").exists()


def test_spend_of_nothing_is_the_same_shape_in_json(capped: Path) -> None:
    found = data("spend", config=capped)

    assert found["rows"] == []
    assert found["total"]["pictures"] == 0
    assert found["caps"][1] == {
        "setting": "budget.perDay",
        "cap_usd": 1.0,
        "used_usd": 0.0,
        "left_usd": 1.0,
    }


async def test_spend_shows_table_caps_and_plot(capped: Path) -> None:
    pytest.importorskip("plotext")
    await fill(default_file())

    found = run("spend", "--days", "7", config=capped)

    assert found.returncode == 0, found.stderr
    for text in ("openai", "replicate", "$0.06", "$0.05", "total", "perMonth", "Spent by day"):
        assert text in found.stdout
    assert "█ openai   ▒ replicate" in found.stdout
    assert "1 attempts ended without" in found.stdout
    assert "\x1b" not in found.stdout
    assert found.stderr == ""


async def test_money_that_is_only_held_makes_a_table_and_no_plot() -> None:
    pytest.importorskip("plotext")
    ledger = Ledger(default_file())
    await ledger.reserve(
        "hold-1",
        provider="openai",
        model="m",
        images=1,
        estimate=50_000,
        caps=Caps(),
        owner="host:1:0",
        now=datetime.now(UTC),
    )
    await ledger.aclose()

    found = run("spend")

    assert found.returncode == 0, found.stderr
    assert "$0.05" in found.stdout
    assert "Spent by day" not in found.stdout


async def test_spend_as_json_has_every_amount(capped: Path) -> None:
    await fill(default_file())

    found = data("spend", config=capped)

    assert found["total"] == {
        "pictures": 4,
        "settled_usd": 0.103,
        "held_usd": 0.05,
        "unknown_usd": 0.05,
    }
    assert [(r["provider"], r["settled_usd"]) for r in found["rows"]] == [
        ("openai", 0.04),
        ("replicate", 0),
        ("openai", 0.06),
        ("replicate", 0.003),
    ]
    caps = {c["setting"]: c["left_usd"] for c in found["caps"]}
    assert caps["budget.perDay"] == pytest.approx(1 - 0.14)
    assert caps["providers.openai.budget.perDay"] == pytest.approx(0.5 - 0.09)


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("provider", [("openai", 0.1), ("replicate", 0.003)]),
        ("model", [("openai/m", 0.1), ("replicate/m", 0.003)]),
        ("day", [(None, 0.04), (None, 0.063)]),
    ],
)
async def test_spend_adds_up_by_what_is_asked(
    by: str, rows: list[tuple[str | None, float]], capped: Path
) -> None:
    await fill(default_file())

    found = data("spend", "--by", by, config=capped)
    shown = run("spend", "--by", by, config=capped)

    assert [row["settled_usd"] for row in found["rows"]] == pytest.approx([usd for _, usd in rows])
    names = [name for name, _ in rows if name]
    assert [row[by] for row in found["rows"]][: len(names)] == names
    assert all(name in shown.stdout for name in names)
    assert found["total"]["settled_usd"] == 0.103
    assert (
        "--by='week' cannot be used: say provider, model or day"
        in run("spend", "--by", "week").stderr
    )


def test_the_balance_is_asked_only_when_it_is_asked_for(capped: Path) -> None:
    shown = run("spend", "--balance", config=capped)

    assert shown.returncode == 0, shown.stderr
    assert "No provider here tells what is left on its account." in shown.stdout
    assert data("spend", "--balance", config=capped)["accounts"] == []
    assert "accounts" not in data("spend", config=capped)


async def test_spend_of_today_only(capped: Path) -> None:
    await fill(default_file())

    assert data("spend", "--days", "1", config=capped)["total"]["pictures"] == 1
    assert run("spend", "--days", "0").returncode == 2


async def test_plots_are_drawn_into_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    await fill(default_file())
    svg, png = tmp_path / "s.svg", tmp_path / "s.png"

    found = run("spend", "--json", "--svg", str(svg), "--png", str(png))
    advised = run("advise", "--json", "--svg", str(tmp_path / "a.svg"))

    json.loads(found.stdout)
    json.loads(advised.stdout)
    assert "replicate</text>" in svg.read_text(encoding="utf-8")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "$475 and $20 a month" in (tmp_path / "a.svg").read_text(encoding="utf-8")


async def test_a_plot_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    await fill(default_file())

    found = run("spend", "--png", str(tmp_path / "no" / "such" / "folder.png"))

    assert found.returncode == 1
    assert "cannot be written" in found.stderr
    assert "Traceback" not in found.stderr


async def test_without_the_extra_the_table_stands_and_one_line_names_it(tmp_path: Path) -> None:
    await fill(default_file())
    path = without(tmp_path, "plotext", "matplotlib")

    shown = run("spend", PYTHONPATH=path)
    drawn = run("spend", "--svg", str(tmp_path / "s.svg"), PYTHONPATH=path)

    assert shown.returncode == 0
    assert "replicate" in shown.stdout
    install = install_command("ziggie-image-mcp[plot]")
    assert shown.stderr == f"A plot needs plotext: {install}.\n"
    assert drawn.returncode == 1
    assert f"[EXTRA_MISSING] A plot needs matplotlib: {install}" in drawn.stderr


async def test_a_terminal_without_utf8_gets_no_plot_and_no_crash() -> None:
    pytest.importorskip("plotext")
    await fill(default_file())

    found = run("spend", PYTHONUTF8="0", PYTHONIOENCODING="ascii")

    assert found.returncode == 0, found.stderr
    assert "replicate" in found.stdout
    assert "Traceback" not in found.stderr


async def test_advise_goes_by_the_users_own_pictures() -> None:
    await fill(default_file())

    found = data("advise", "--gpu-usd", "1", "--watts", "100", "--usd-per-kwh", "0.3")

    assert found["usage"] == {
        "days": 2,
        "active_days": 2,
        "pictures": 4,
        "pictures_a_day": 2.0,
        "usd_per_picture": pytest.approx(0.103 / 4),
    }
    own = found["paybacks"][0]
    assert own["setup"] == "yours"
    assert own["best"] is None
    electricity = 60 * 100 * 3.5 / 3.6e6 * 0.3
    assert own["marginal_best"] == pytest.approx(1 / (60 * 0.103 / 4 - electricity))


def test_advise_without_use_says_whose_assumption_it_is() -> None:
    pytest.importorskip("plotext")
    found = run("advise")

    assert "the report's assumption, $0.02 a picture" in found.stdout
    for text in ("15.9 to 23.9", "20.0 to never", "2025-11", "RTX 4090", "Cost added up"):
        assert text in found.stdout
    assert found.returncode == 0


def test_advise_refuses_what_is_no_number() -> None:
    found = run("advise", "--gpu-usd", "inf")

    assert found.returncode == 1
    assert "[INVALID_REQUEST] gpu_usd=inf" in found.stderr


@pytest.mark.parametrize("name", ["openai", "OPENAI_API_KEY"])
def test_a_key_goes_in_by_stdin_and_is_listed_and_deleted(name: str) -> None:
    put = run("keys", "set", name, stdin=f"{KEY}\nsecond line\n")
    file = secrets.default_file()
    kept = json.loads(file.read_text(encoding="utf-8"))
    mode = stat.S_IMODE(file.stat().st_mode)
    listed = data("keys", "list")
    table = run("keys", "list")
    gone = run("keys", "delete", name)
    again = run("keys", "delete", name)

    assert put.returncode == 0, put.stderr
    assert kept == {"OPENAI_API_KEY": KEY}
    assert os.name != "posix" or mode == 0o600
    found = {row["provider"]: row for row in listed["keys"]}
    assert found.keys() == secrets.key_names(load_types().usable).keys() | {"civitai"}
    assert found["openai"]["found_in"] == ["file"]
    assert all(not row["found_in"] for name, row in found.items() if name != "openai")
    assert "no keyring" in listed["notes"][0]
    assert "nowhere" in table.stdout
    assert "deleted from the file" in gone.stdout
    assert again.returncode == 1
    assert json.loads(file.read_text(encoding="utf-8")) == {}
    for one in (put, table, gone, again):
        assert KEY not in one.stdout + one.stderr


async def test_a_new_key_ends_the_pause_of_the_one_before() -> None:
    now = datetime.now(UTC)
    refused = AuthenticationFailed("openai", "refused")
    async with aclosing(History(history.default_file())) as learnt:
        await learnt.failed("openai", "m", refused, now)
        await learnt.failed("replicate", "m", refused, now)
        run("keys", "set", "openai", stdin=KEY)
        left = await learnt.snapshot()

    assert list(left.breakers) == [("replicate", "*")]


def test_a_wrong_config_does_not_stand_in_the_way_of_a_key(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    put = run("keys", "set", "openai", stdin=KEY, config=tmp_path / "bad.json")

    assert put.returncode == 0, put.stderr


def test_a_key_in_the_environment_is_in_force_and_stays_there() -> None:
    put = run("keys", "set", "openai", stdin=KEY, OPENAI_API_KEY="sk-other")
    listed = run("keys", "list", OPENAI_API_KEY="sk-other")
    gone = run("keys", "delete", "openai", OPENAI_API_KEY="sk-other")

    assert "the environment has its own OPENAI_API_KEY" in put.stderr
    assert "environment, then file" in listed.stdout
    assert "not ours to change" in gone.stderr
    assert "sk-other" not in listed.stdout + listed.stderr + put.stderr + gone.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("openai", KEY),
        ("openai", f"--key={KEY}"),
        ("openai", "-" + KEY),
        (KEY,),
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(arguments: tuple[str, ...]) -> None:
    found = run("keys", "set", *arguments, stdin="sk-stdin")

    assert found.returncode == 1
    assert "[CONFIG_INVALID]" in found.stderr
    assert KEY not in found.stdout + found.stderr
    assert not secrets.default_file().exists()


@pytest.mark.parametrize("typed", ["", "\n", "two words\n", "schlüssel\n"])
def test_what_is_no_key_is_refused_and_not_repeated(typed: str) -> None:
    found = run("keys", "set", "openai", stdin=typed)

    assert found.returncode == 1
    assert "this is no key" in found.stderr
    assert "Traceback" not in found.stderr
    assert not typed.strip() or typed.strip() not in found.stderr


def test_a_misspelt_provider_is_named_with_the_nearest() -> None:
    found = run("keys", "set", "openia", stdin=KEY)

    assert found.returncode == 1
    assert "Did you mean `openai`?" in found.stderr


@POSIX
def test_at_a_terminal_the_key_is_asked_for_and_not_echoed() -> None:
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "keys", "set", "replicate"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    asked = process.stderr.read(len("REPLICATE_API_TOKEN: "))
    os.write(ours, f"{KEY}\n".encode())
    output, errors = process.communicate(timeout=60)
    os.set_blocking(ours, False)
    try:
        echoed = os.read(ours, 1000)
    except BlockingIOError:
        echoed = b""
    os.close(ours)
    os.close(theirs)

    assert asked == b"REPLICATE_API_TOKEN: "
    assert process.returncode == 0, errors
    assert KEY.encode() not in output + errors + echoed
    kept = json.loads(secrets.default_file().read_text(encoding="utf-8"))
    assert kept == {"REPLICATE_API_TOKEN": KEY}
