"""Start: `ziggie-image-mcp` alone speaks stdio, at once; everything else is the command line."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from typing import Any

_ERRORS = "backslashreplace"
"""A file's name may hold half a character."""
_COMPLETION = "_ZIGGIE_IMAGE_MCP_COMPLETE"
"""Set by a shell that asks how to complete a line: the program is then called without arguments."""


def main() -> None:
    """Serve stdio when there are no arguments, else hand over to the command line."""
    if sys.argv[1:] in ([], ["serve"]) and _COMPLETION not in os.environ:
        gc.disable()  # what an import makes stays: looking for garbage in it costs a tenth of it
        import anyio

        from ziggie_image_mcp.server.transport import serve_stdio

        gc.freeze()
        gc.enable()
        anyio.run(serve_stdio)
        return
    from ziggie_image_mcp.cli.main import app

    _watch_output()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OutputFailed as e:
        sys.stderr.write(f"Standard output cannot be written: {e.strerror}.\n")
        raise SystemExit(1) from None


class OutputFailed(OSError):
    """Raised when standard output is closed or full."""


class _Output(io.FileIO):
    """Standard output, whose failure is no other file's. What comes after it is given up."""

    _failed = False

    def write(self, data: Any) -> int:
        """Write some of it."""
        if self._failed:
            return len(data)
        try:
            return super().write(data) or 0
        except OSError as e:
            self._failed = True
            raise OutputFailed(e.errno, e.strerror) from e


class _Closed(io.RawIOBase):
    """Stands in for a standard output that was closed before we began."""

    _failed = False

    def writable(self) -> bool:
        """It seems so until something is written."""
        return True

    def write(self, data: Any) -> int:
        """Refuse it."""
        if self._failed:
            return len(data)
        self._failed = True
        raise OutputFailed(errno.EBADF, "it is closed")


def _watch_output() -> None:
    raw: io.RawIOBase
    before: Any = sys.stdout
    if before is None:
        raw = _Closed()
    elif not isinstance(before, io.TextIOWrapper):
        return
    elif before.isatty():
        before.reconfigure(errors=_ERRORS)  # pyright: ignore[reportUnknownMemberType]
        return
    else:
        before.flush()
        raw = _Output(before.fileno(), "wb", closefd=False)
    same = () if before is None else ("encoding", "line_buffering", "write_through")
    options: dict[str, Any] = {"encoding": "utf-8"} | {a: getattr(sys.stdout, a) for a in same}
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), errors=_ERRORS, **options)


if __name__ == "__main__":
    main()
