"""The certificates that this machine trusts, read once: each time would take 30 ms."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from ssl import SSLContext


def trusted(*, environment: bool = True) -> SSLContext:
    """What checks a server's certificate.

    Args:
        environment: Whether `SSL_CERT_FILE` and `SSL_CERT_DIR` count.

    Raises:
        OSError: One of these variables names what cannot be read.
    """
    named = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return _read(named if environment else None)


@functools.cache
def _read(named: tuple[str | None, str | None] | None) -> SSLContext:
    return httpx2.create_ssl_context(trust_env=named is not None)
