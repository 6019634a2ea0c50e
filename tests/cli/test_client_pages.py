"""The pages about clients: one each, with the lines that the command prints."""

import re
from pathlib import Path

import pytest

from ziggie_image_mcp.cli.client_config import CLIENTS, Launch, client_config

PAGES = Path(__file__).parents[2] / "docs" / "clients"
STARTED = Launch(command=("/path/to/python", "-m", "ziggie_image_mcp"))
CONNECTED = Launch(url="http://127.0.0.1:8765/mcp", token_env="ZIGGIE_IMAGE_TOKEN")
WITH_PAGE = [name for name in CLIENTS if name != "ziggie"]  # that one's is docs/ziggie.md


@pytest.mark.parametrize("name", WITH_PAGE)
def test_the_page_of_a_client_shows_what_the_command_prints(name: str) -> None:
    client = CLIENTS[name]
    blocks = re.findall(r"```\w+\n(.*?)```", (PAGES / f"{name}.md").read_text(), re.DOTALL)
    starts = [STARTED] if client.format != "text" else []
    connects = [CONNECTED] if client.url_key else []
    assert blocks == [client_config(name, launch).text for launch in [*starts, *connects]]


def test_every_page_is_about_a_client_and_the_index_leads_to_it() -> None:
    pages = {page.stem for page in PAGES.glob("*.md")} - {"index"}
    assert pages == set(WITH_PAGE)
    index = (PAGES / "index.md").read_text()
    assert [name for name in WITH_PAGE if f"({name}.md)" not in index] == []
