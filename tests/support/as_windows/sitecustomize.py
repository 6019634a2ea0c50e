"""On the path of a Python that a test starts: for our code there is less here than on Windows.

What only POSIX has is taken from `os`, `signal`, `socket` and the list of modules, but for callers
in our own packages alone: the libraries have their own branches, and were chosen by the real
system. A file that this process has open can be neither replaced nor deleted, by anybody.
"""

# ruff: noqa: PTH116, PTH208 - pathlib would call what is changed here

import asyncio
import builtins
import os
import signal
import socket
import sys
import types
from typing import Any

OURS = ("ziggie_image_mcp", "ziggie_image_providers")
GONE: dict[types.ModuleType, str] = {
    os: (
        "fork forkpty getuid geteuid getgid getegid getgroups setuid setgid uname nice kill killpg"
        " getpgid getpgrp setpgid setsid getsid sched_getaffinity sched_setaffinity mkfifo mknod"
        " pidfd_open wait wait3 wait4 waitid WIFSIGNALED WIFEXITED WTERMSIG WEXITSTATUS WNOHANG"
        " openpty set_blocking getloadavg sysconf chown lchown fchmod fchown chroot O_NONBLOCK"
        " O_NOFOLLOW O_CLOEXEC O_DIRECTORY O_SYNC statvfs pread pwrite sendfile readv writev"
        " posix_spawn symlink link getpriority setpriority ttyname tcgetpgrp pathconf"
    ),
    signal: (
        "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE SIGALRM SIGSTOP SIGCONT SIGQUIT SIGTSTP"
        " SIGWINCH pause alarm setitimer pthread_sigmask sigwait siginterrupt pthread_kill"
    ),
    socket: "AF_UNIX socketpair send_fds recv_fds",
}
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline")


def without(module: types.ModuleType, names: frozenset[str]) -> None:
    """Take names from a module, for those who ask in our packages."""

    class Less(types.ModuleType):
        def __getattribute__(self, name: str) -> object:
            if name in names:
                asking = str(sys._getframe(1).f_globals.get("__name__", ""))  # pyright: ignore[reportPrivateUsage]
                if asking.partition(".")[0] in OURS:
                    raise AttributeError(f"Windows has no {name}")
            return super().__getattribute__(name)

    module.__class__ = Less


real_import = builtins.__import__


def import_less(name: str, globals: dict[str, Any] | None = None, *more: Any, **named: Any) -> Any:
    """Import for us what Windows has."""
    asking = str((globals or {}).get("__name__", "")).partition(".")[0]
    if name.partition(".")[0] in MODULES and asking in OURS:
        raise ImportError(f"Windows has no {name}")
    return real_import(name, globals, *more, **named)


def is_open_here(path: Any) -> bool:
    """Whether this process has the file open."""
    try:
        real = os.stat(path)
    except (OSError, ValueError):
        return False
    for number in os.listdir("/proc/self/fd"):
        try:
            held = os.stat(f"/proc/self/fd/{number}")
        except OSError:  # the listing's own
            continue
        if (held.st_dev, held.st_ino) == (real.st_dev, real.st_ino):
            return True
    return False


def hold_back(name: str) -> None:
    """Make a function of `os` refuse files that are open."""
    real = getattr(os, name)

    def careful(path: Any, *more: Any, **options: Any) -> Any:
        for one in (path, *more[:1]):
            if is_open_here(one):
                raise PermissionError(13, "The file is in use (WinError 32)", str(one))
        return real(path, *more, **options)

    setattr(os, name, careful)


def no_handlers(self: object, *args: object) -> None:
    """Windows' loops take no signals."""
    raise NotImplementedError


for _name in ("replace", "rename", "unlink", "remove"):
    hold_back(_name)
for _module, _words in GONE.items():
    without(_module, frozenset(_words.split()))
builtins.__import__ = import_less  # type: ignore[assignment]
for _kind in (asyncio.SelectorEventLoop, asyncio.BaseEventLoop):
    _kind.add_signal_handler = no_handlers  # type: ignore[method-assign, assignment]
