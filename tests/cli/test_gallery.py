"""The command gallery: a page on this machine, opened by the address that it prints."""

from __future__ import annotations

import os
import subprocess
import sys
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
                    http.post("/gallery/session", json=code).status_code,
                    http.get("/gallery/pictures").status_code,
                    http.post("/gallery/session", json=code).status_code,
                ]
        finally:
            server.terminate()
            server.wait(20)

    assert (address.hostname, address.path) == ("127.0.0.1", "/")
    assert statuses == [200, 401, 200, 200, 401]
