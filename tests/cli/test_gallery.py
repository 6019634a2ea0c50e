"""The command gallery: a page on this machine, opened by the address that it prints."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

pytestmark = pytest.mark.usefixtures("warm")


def test_the_command_prints_an_address_that_opens_the_page_once() -> None:
    env = os.environ | {"ZIGGIE_IMAGE_TOKEN": "open sesame"}
    command = [sys.executable, "-m", "ziggie_image_mcp", "gallery", "--no-open", "--port", "0"]
    with subprocess.Popen[bytes](
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        try:
            line: bytes = server.stdout.readline()
            address = urlsplit(line.decode().strip())
            own_page = {"Sec-Fetch-Site": "same-origin"}
            base = f"http://{address.netloc}"
            with httpx2.Client(base_url=base, headers=own_page, timeout=30) as http:
                statuses = [http.get("/").status_code, http.get("/gallery/pictures").status_code]
                code = {"code": address.fragment.removeprefix("code=")}
                statuses += [
                    http.post("/mcp", json={}).status_code,
                    http.post("/gallery/session", json=code).status_code,
                    http.get("/gallery/pictures").status_code,
                    http.post("/gallery/session", json=code).status_code,
                ]
        finally:
            server.terminate()
            server.wait(20)

    assert (address.hostname, address.path) == ("127.0.0.1", "/")
    assert statuses == [200, 401, 404, 200, 200, 401]


def test_a_browser_is_started_without_the_code(tmp_path: Path) -> None:
    told = tmp_path / "told"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {told}.part; mv {told}.part {told}\n')
    browser.chmod(0o755)
    own = {"ZIGGIE_IMAGE_TOKEN": "open sesame", "DISPLAY": ":9", "BROWSER": str(browser)}
    command = [sys.executable, "-m", "ziggie_image_mcp", "gallery", "--port", "0"]
    with subprocess.Popen[bytes](
        command, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().decode().strip()
            while not told.exists():
                time.sleep(0.05)
            page = Path(urlsplit(told.read_text()).path)
            mode, text = stat.S_IMODE(page.stat().st_mode), page.read_text()
        finally:
            server.terminate()
            server.wait(20)

    assert "#code=" in address
    assert f'url={address}"' in text
    assert "code=" not in told.read_text()
    assert mode == 0o600
