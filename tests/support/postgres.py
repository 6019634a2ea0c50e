"""Start a real PostgreSQL on a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

SETTINGS = """
listen_addresses = ''
fsync = on
synchronous_commit = off                       # the ledger must put it on for itself
default_transaction_isolation = 'serializable' # and ask for what it needs of snapshots
max_connections = 50
shared_buffers = 16MB
"""


@dataclass(frozen=True)
class Server:
    """A running server, reached through the Unix socket in `folder`."""

    folder: Path

    def url(self, schema: str) -> str:
        """The server's URL, with its own name space for tables."""
        query = {"host": str(self.folder), "options": f"-csearch_path={schema}"}
        return f"postgresql://ziggie@/postgres?{urlencode(query, quote_via=quote)}"

    def serve_dbos(self, schema: str) -> str:
        """A URL for jobs too: DBOS counts on Postgres' own default isolation."""
        self.run("ALTER DATABASE postgres SET default_transaction_isolation = 'read committed'")
        self.run(f"CREATE SCHEMA {schema}")
        return self.url(schema)

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement beside whatever is tested, and give its rows."""
        import psycopg

        with psycopg.connect(
            host=str(self.folder), user="ziggie", dbname="postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def skip_where_absent() -> None:
    """Skip a test that needs a server; in CI, which sets ZIGGIE_TEST_ALL, fail it."""
    reason = why_not()
    if reason and os.environ.get("ZIGGIE_TEST_ALL"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def why_not() -> str:
    """Why no server can be started here; empty when one can."""
    if sys.platform == "win32":
        return "the test server needs Unix sockets"
    if find_spec("psycopg") is None:
        return "the Postgres driver (psycopg) is not installed"
    if binaries() is None:
        return "PostgreSQL's server (initdb, pg_ctl) is not installed"
    if os.geteuid() == 0 and not (shutil.which("setpriv") and _other_user()):
        return "PostgreSQL does not run as root, and no other user can be taken on"
    return ""


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl: Debian's newest, else the one on PATH."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[4])
    )
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def server() -> Generator[Server]:
    """A server for the length of a `with`; its folder is removed after it."""
    where = binaries()
    assert where is not None
    root = Path(tempfile.mkdtemp(prefix="zim-pg-", dir="/tmp"))  # a socket's path must be short
    as_user = _give_away(root)
    data = root / "data"

    def run(program: str, *args: str) -> None:
        command = [*as_user, str(where / program), *args]
        with (root / "out").open("ab") as out:  # a pipe would stay open in the server
            done = subprocess.run(command, cwd=root, stdout=out, stderr=out, env=_env())
        if done.returncode:
            raise RuntimeError(f"{program} failed: {(root / 'out').read_text(encoding='utf-8')}")

    try:
        run("initdb", "-D", str(data), "-U", "ziggie", "-A", "trust", "-E", "UTF8", "--no-sync")
        with (data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write(f"{SETTINGS}unix_socket_directories = '{root}'\n")
        run("pg_ctl", "start", "-w", "-D", str(data), "-l", str(root / "log"))
        try:
            yield Server(root)
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(data))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _give_away(root: Path) -> list[str]:
    """Make the folder another user's when we are root; the command line that runs as that user."""
    if os.geteuid() != 0:
        return []
    user = _other_user()
    shutil.chown(root, user)
    return [
        *("setpriv", f"--reuid={user}", "--clear-groups", "--inh-caps=-all"),
        f"--regid={_gid(user)}",
    ]


def _other_user() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), "")


def _gid(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _env() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
