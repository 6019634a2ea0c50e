"""Write commands as the shells of this system take them, for messages that tell what to run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

_PLAIN = re.compile(r"[\w.:/\\+=-]+")
"""A word that cmd and PowerShell take as it stands."""

_PLAIN_IN_QUOTES = re.compile(r'[^"$`\\!\n]*')
"""What every shell takes as it stands between double quotes."""


def shell_command(*words: str, system: str = sys.platform) -> str:
    """A command with its words quoted where they need it, in double quotes where those will do.

    On Windows it is for cmd and PowerShell alike where such a form exists: PowerShell runs a
    program in quotes only after `&`, of which cmd knows nothing, and takes quotes within a word
    otherwise. It is said then which of them a command is for.

    Args:
        words: The program and its arguments.
        system: As `sys.platform` has it.
    """
    if system != "win32":
        return " ".join(map(_posix, words))
    quoted = [_windows(word) for word in words]
    line = " ".join(quoted)
    if any('"' in word for word in words):
        return f"{line} (in cmd)"
    return f"& {line} (in PowerShell; in cmd without `& `)" if quoted[0] != words[0] else line


def _posix(word: str) -> str:
    quoted = shlex.quote(word)
    return f'"{word}"' if quoted != word and _PLAIN_IN_QUOTES.fullmatch(word) else quoted


def _windows(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    quoted = subprocess.list2cmdline([word])
    return quoted if quoted.startswith('"') else f'"{quoted}"'
