"""On the path of every Python that a test starts: some programs are forked, not started.

A program that `fork_server.py` has in its care is forked there, with everything imported already;
this process lends it its streams, hands its signals on, and ends as it ends. Any other just starts.
"""

import os
import sys


def _program() -> str:
    words = getattr(sys, "orig_argv", [])
    return words[words.index("-m") + 1] if "-m" in words[:-1] else ""


if _program() in os.environ.get("ZIGGIE_TEST_FORKED", "").split():
    import json
    import signal
    import socket
    import struct

    _words = sys.orig_argv
    _wish = {
        "program": _program(),
        "arguments": _words[_words.index("-m") + 2 :],
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib is one more import in every program
        "env": dict(os.environ),
    }
    _line = socket.socket(socket.AF_UNIX)
    _line.connect(os.environ["ZIGGIE_TEST_FORK_SERVER"] + "/" + _program())
    socket.send_fds(_line, [json.dumps(_wish).encode() + b"\n"], [0, 1, 2])

    def _heard() -> int:
        answer = _line.recv(4, socket.MSG_WAITALL)
        if len(answer) < 4:
            os.write(2, b"the fork server is gone\n")
            os._exit(70)
        return int(struct.unpack("i", answer)[0])

    _pid = _heard()
    for _number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(_number, lambda number, frame: os.kill(_pid, number))
    _status = _heard()
    if os.WIFSIGNALED(_status):
        signal.signal(os.WTERMSIG(_status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(_status))
        signal.pause()
    os._exit(os.waitstatus_to_exitcode(_status))
