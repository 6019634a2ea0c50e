"""The certificates that this machine trusts, read once: each time would take 30 ms."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from ssl import SSLContext


def trusted() -> SSLContext:
    """What checks a server's certificate, with those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.

    Raises:
        OSError: One of these variables names what cannot be read.
    """
    return _read(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _read(file: str | None, folder: str | None) -> SSLContext:
    return httpx2.create_ssl_context()
