"""The exit codes of every command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended, for scripts. docs/json.md has this table."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> ExitCode:
        """One code with what it means."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        return code

    DONE = 0, "all that was asked for is done, or told"
    FAILED = (
        1,
        "not all of it: an error whose code and text stand on stderr, a job that failed, no route "
        "(`plan`), something that is wrong (`doctor`)",
    )
    USAGE = 2, "the command line itself makes no sense: no such command, option or value"
    STOPPED = (
        130,
        "stopped by Ctrl-C; by another signal 128 and its number, as 143 for SIGTERM; the server "
        "on stdio ends with 0",
    )
