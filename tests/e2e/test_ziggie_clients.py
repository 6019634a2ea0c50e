"""The programs of docs/ziggie.md, as they stand there, against the built-in engine."""

from __future__ import annotations

import os
import re
import shutil
import signal
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
    """A folder of its own for what is made, as the current one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ZIGGIE_IMAGE_OUTPUT__DIRECTORY", str(tmp_path / "pictures"))
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


def test_the_python_client_says_an_errors_code(
    at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZIGGIE_IMAGE_ENABLED", "false")

    done = program(sys.executable, str(FOLDER / "ziggie/client.py"), "a star")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1]
    assert "NO_ROUTE" in done.stderr


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
    at_home: Path, node_client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Path(sys.executable).with_name("ziggie-image-mcp")
    monkeypatch.setenv("IMAGE_COMMAND", str(command))
    over_stdio = program("node", str(node_client), "a red star")
    assert_pictures(over_stdio, at_home, 1)
    (at_home / "picture-1.png").unlink()

    with serving() as url:
        over_http = program("node", str(node_client), "a {red|blue} star", url)

    assert_pictures(over_http, at_home, 2)


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


def test_ziggies_block_is_taken_as_the_page_has_it(tmp_path: Path) -> None:
    page = (FOLDER / "ziggie.md").read_text("utf-8")
    blocks = re.findall(r"(?:^    .*\n|^\n)+", page, re.MULTILINE)
    (block,) = [b for b in blocks if "imageGeneration" in b]
    (tmp_path / "ziggie.json").write_text(block, "utf-8")

    config = loader.load(tmp_path / "ziggie.json", {})

    assert (config.allow_paid_fallback, config.budget.per_day) == ("ask", 2)
