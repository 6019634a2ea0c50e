"""The programs of docs/ziggie.md, as they stand there, against the built-in engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.test_http import serving
from ziggie_image_mcp import app
from ziggie_image_mcp.app import Application, ImageError, ImageRequest
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.errors import StorageError

FOLDER = Path(__file__).parents[2] / "docs"
NODE_CLIENT = "@modelcontextprotocol/client@2.4.0"

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for what is made, as the current one; the command is on the path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ZIGGIE_IMAGE_OUTPUT__DIRECTORY", str(tmp_path / "pictures"))
    command = tmp_path / "bin" / "ziggie-image-mcp"
    command.parent.mkdir()
    command.symlink_to(Path(sys.executable).with_name(command.name))
    monkeypatch.setenv("PATH", os.pathsep.join([str(command.parent), os.environ["PATH"]]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=90, check=False)


def assert_pictures(done: subprocess.CompletedProcess[str], folder: Path, count: int) -> None:
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert names == [f"picture-{number}.png" for number in range(1, count + 1)]
    for name in names:
        with Image.open(folder / name) as picture:
            picture.load()
    assert "99% checking" in done.stderr


def test_the_python_client_gets_pictures_from_a_server_that_it_starts(at_home: Path) -> None:
    done = program(sys.executable, str(FOLDER / "ziggie/client.py"), "a {red|blue} star")

    assert_pictures(done, at_home, 2)


def assert_fails(done: subprocess.CompletedProcess[str], start: str, most: int = 3) -> None:
    """A failed program says `code: words` once, and nothing of its own source."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert "    at " not in done.stderr
    assert sum(line.startswith(start) for line in lines) == 1, done.stderr
    assert len(lines) <= most, done.stderr


def assert_says_that_nothing_answers(*client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No arguments, a closed port, no program, and one that ends at once."""
    with socket.socket() as bound:  # it does not listen
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/mcp"
        assert_fails(program(*client, "a star", url), f"NO_SERVER: {url}: ")
    assert "[URL of a server]" in program(*client).stderr
    assert_fails(program(*client), "")
    monkeypatch.setenv("IMAGE_COMMAND", "no-such-program")
    assert_fails(program(*client, "a star"), "NO_SERVER: no-such-program: ")
    monkeypatch.setenv("IMAGE_COMMAND", "false")
    assert_fails(program(*client, "a star"), "NO_SERVER: false: ")


def test_the_python_client_ends_an_error_in_words(
    at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = str(FOLDER / "ziggie/client.py")

    with monkeypatch.context() as disabled:
        disabled.setenv("ZIGGIE_IMAGE_ENABLED", "false")
        done = program(sys.executable, client, "a star")

    assert_fails(done, "NO_ROUTE: No model can make this picture now.", most=20)
    assert "[NO_ROUTE]" not in done.stderr
    assert_says_that_nothing_answers(sys.executable, client, monkeypatch=monkeypatch)


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None:
        pytest.skip("needs Node")
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(FOLDER / "ziggie/client.mjs", folder)
    npm = ["npm", "install", "--silent", "--prefix", str(folder), NODE_CLIENT]
    subprocess.run(npm, check=True, capture_output=True, timeout=120)
    return folder / "client.mjs"


def test_the_node_client_gets_a_picture_over_both_transports(
    at_home: Path, node_client: Path
) -> None:
    over_stdio = program("node", str(node_client), "a red star")
    assert_pictures(over_stdio, at_home, 1)
    (at_home / "picture-1.png").unlink()

    with serving() as url:
        over_http = program("node", str(node_client), "a {red|blue} star", url)

    assert_pictures(over_http, at_home, 2)


def test_the_node_client_ends_an_error_in_words(
    at_home: Path, node_client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_fails(program("node", str(node_client), ""), "INVALID_REQUEST: prompt=")
    assert_says_that_nothing_answers("node", str(node_client), monkeypatch=monkeypatch)


def test_a_program_without_mcp_ends_an_error_in_words(
    at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = [sys.executable, str(FOLDER / "ziggie/embed.py")]

    assert_fails(program(*embed), "Make a picture")
    assert_fails(program(*embed, ""), "INVALID_REQUEST: prompt=")
    monkeypatch.setenv("ZIGGIE_IMAGE_ENABLED", "false")
    assert_fails(program(*embed, "a star"), "NO_ROUTE: No model can make", most=20)


def test_a_program_without_mcp_gets_a_picture_and_a_clean_stdout(at_home: Path) -> None:
    done = program(sys.executable, str(FOLDER / "ziggie/embed.py"), "a red star")

    assert done.returncode == 0, done.stderr
    (path,) = done.stdout.splitlines()
    assert Path(path).is_relative_to(at_home / "pictures")


async def test_an_application_changes_nothing_of_its_host_and_may_be_opened_again(
    at_home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio
    import logging

    def host() -> list[object]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        root = logging.getLogger()
        log = logging.getLogger("dbos")  # a host may use DBOS too
        logs = [(one.level, list(one.handlers), one.propagate) for one in (root, log)]
        return [*handlers, *logs, asyncio.get_running_loop()]

    monkeypatch.setattr(logging.getLogger("dbos"), "level", logging.INFO)
    before = host()
    for seed in (1, 2):
        async with Application() as application:
            service = await application.service()
            result = await service.generate(ImageRequest(prompt="a red star", seed=seed))
            assert Path(result.images[0].path).is_file()
        assert await asyncio.to_thread(os.getpid) == os.getpid()

    assert host() == before
    assert capfd.readouterr().out == ""


async def test_a_second_application_beside_the_first_says_what_to_do(at_home: Path) -> None:
    async with Application() as one, Application() as other:
        first = await one.service()
        await first.generate(ImageRequest(prompt="a red star", seed=1))
        second = await other.service()
        with pytest.raises(StorageError, match="open one Application"):
            await second.generate(ImageRequest(prompt="a red star", seed=2))
        result = await first.generate(ImageRequest(prompt="a red star", seed=3))

    assert result.images


def test_the_public_names_are_there_and_no_others() -> None:
    assert {name for name in app.__all__ if getattr(app, name) is None} == set()
    with pytest.raises(AttributeError):
        getattr(app, "Workflow")  # noqa: B009
    assert issubclass(app.NoRoute, ImageError)


@pytest.mark.parametrize(
    ("file", "most"), [("client.mjs", 80), ("client.py", 80), ("embed.py", 40)]
)
def test_the_programs_are_short(file: str, most: int) -> None:
    assert len((FOLDER / "ziggie" / file).read_text("utf-8").splitlines()) <= most


def test_ziggies_block_is_taken_as_the_page_has_it_and_has_a_route_at_once(at_home: Path) -> None:
    page = (FOLDER / "ziggie.md").read_text("utf-8")
    blocks = re.findall(r"(?:^    .*\n|^\n)+", page, re.MULTILINE)
    (block,) = [b for b in blocks if "imageGeneration" in b]
    file = at_home / "ziggie.json"
    file.write_text(block, "utf-8")

    config = loader.load(file, {})
    done = program("ziggie-image-mcp", "--config", str(file), "plan", "a red potion", "--json")

    assert done.returncode == 0, done.stderr
    assert [(row["provider"], row["model"]) for row in json.loads(done.stdout)["candidates"]] == [
        ("builtin", "tiny")
    ]
    assert (config.allow_paid_fallback, config.budget.per_day) == ("ask", 2)
