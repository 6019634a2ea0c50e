"""The site of docs/: built without a warning, whole in itself, every page in its navigation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urldefrag

import pytest
import yaml

from tools.packages import manifests
from tools.packages.manifests import ROOT

DOCS = ROOT / "docs"
NAVIGATION: list[Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
FOREIGN = re.compile(r"^(https?:)?//|^data:text/html", re.IGNORECASE)


class Page(HTMLParser):
    """What a page links, loads and can be linked to by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev", "alternate"):
            self.loads.append(values.get("href", ""))
        if tag in LOADS and LOADS[tag] in values:
            self.loads.append(values[LOADS[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, out of a copy of the pages."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("zensical")), "build", "--strict"],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "No issues found" in ended.stdout + ended.stderr
    return folder / "build" / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_no_page_loads_anything_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    loads = [load for page in pages.values() for load in page.loads]
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    addresses = [found for text in styles for found in re.findall(r"url\(([^)]*)\)", text)]

    assert len(pages) > 40
    assert len(loads) > 40
    assert [load for load in loads if FOREIGN.match(load)] == []
    assert [found for found in addresses if FOREIGN.match(found.strip("\"'"))] == []
    assert not any("@import" in text for text in styles)


def test_every_link_inside_the_site_leads_somewhere(pages: dict[Path, Page], site: Path) -> None:
    broken: list[str] = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            if re.match(r"[a-z]+:", link) or not link:
                continue
            place, anchor = urldefrag(unquote(link))
            target = (path.parent / place).resolve() if place else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (
                anchor and target in pages and anchor not in pages[target].anchors
            ):
                broken.append(f"{path.relative_to(site)}: {link}")

    assert broken == []


def entries(navigation: Any) -> Iterator[str]:
    """The pages that a navigation names."""
    match navigation:
        case str():
            yield navigation
        case dict():
            for below in cast(dict[str, Any], navigation).values():
                yield from entries(below)
        case _:
            for below in navigation:
                yield from entries(below)


def test_the_navigation_has_every_page_once() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}

    assert sorted(entries(NAVIGATION)) == sorted(pages)


@pytest.mark.parametrize(
    "name", ["README.md", "providers/README.md", "CONTRIBUTING.md", "SECURITY.md"]
)
def test_what_pages_beside_the_site_link_to_is_there(name: str) -> None:
    file = ROOT / name
    text = manifests.with_links(file.read_text(encoding="utf-8"), manifests.OWNER)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    inside = [link for link in links if "://" not in link]

    assert [link for link in inside if not (file.parent / link).exists()] == []


def test_the_readme_is_one_screen_with_links() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 100
