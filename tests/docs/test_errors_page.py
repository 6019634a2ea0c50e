"""docs/troubleshooting.md has every code that a caller can meet."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.test_errors import all_classes
from tools.docs import errors_page
from tools.packages.manifests import ROOT

CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
MAKERS = {"Reason", "reason", "_reason", "_broken"}


def codes_of_reasons() -> Iterator[str]:
    """Each text that looks like a code in a call that makes a reason, or in a variable `code`."""
    for folder in ("routing", "inventory"):
        for file in (ROOT / "ziggie_image_mcp" / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                parts: list[ast.expr] = []
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
                    parts = [*node.args, *(k.value for k in node.keywords if k.arg == "code")]
                elif isinstance(node, ast.Assign):
                    names = {getattr(target, "id", "") for target in node.targets}
                    parts = [node.value] if names & {"code", "NO_KEY"} else []
                for part in (inner for one in parts for inner in ast.walk(one)):
                    text = getattr(part, "value", None)
                    if isinstance(text, str) and CODE.fullmatch(text):
                        yield text


def test_the_page_is_current() -> None:
    text = errors_page.PAGE.read_text(encoding="utf-8")

    assert text == errors_page.page(), "run tools/docs/errors_page.py"


def test_every_error_says_what_to_do() -> None:
    codes = {kind.code for kind in all_classes()}

    assert errors_page.FIXES.keys() == codes
    assert {kind.code for kind in errors_page.classes()} == codes


def test_every_reason_is_explained_and_no_other() -> None:
    errors = {kind.code for kind in all_classes()}
    codes = set(codes_of_reasons())

    assert {"NO_KEY", "FEATURE_UNSUPPORTED", "CIRCUIT_OPEN", "PLUGIN_BROKEN"} <= codes
    assert codes - errors <= errors_page.REASONS.keys()
    assert errors_page.REASONS.keys() <= codes
