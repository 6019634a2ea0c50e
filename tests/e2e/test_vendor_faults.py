"""Vendors that fail in every way, by each way in which pictures are delivered."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests.provider.test_hostile_answers import huge_png, packed
from tests.providers.test_comfy_router import FLUX, drawn, ended, is_result, is_status, is_submit
from tests.support.fake_vendors import FakeVendor, Reply, Seen
from ziggie_image_mcp.provider.testing import picture

SOON, LATER = 5, 30
"""Deadlines of calls, seconds: of those that it ends, and of the others."""

GRACE = 10.0
"""Of a peer that would drip for minutes, on a machine that does much else, seconds."""
MEMORY = 300
"""MB above what a picture that arrives takes."""

Script = Callable[[Seen], Reply]
Fault = Reply | Callable[[], Reply]
"""What takes long to make is made when it is sent."""


def is_picture(seen: Seen) -> bool:
    return seen.path == "/made.png"


def image(data: bytes) -> dict[str, Any]:
    return {"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}]}


def inline(seen: Seen) -> Reply:
    return Reply(body=image(picture(256, 256)))


def linked(seen: Seen) -> Reply:
    if is_picture(seen):
        return Reply(body=picture(256, 256))
    return Reply(body={"created": 1, "data": [{"url": f"{seen.origin}/made.png"}]})


def polled(seen: Seen) -> Reply:
    return Reply(body=picture(256, 256)) if is_picture(seen) else drawn(seen)


def at(applies: Callable[[Seen], bool], what: Fault, other: Script) -> Script:
    """A vendor that does this where it applies, by default with the body that would be right."""

    def script(seen: Seen) -> Reply:
        right = other(seen)
        if not applies(seen):
            return right
        fault = what() if callable(what) else what
        return fault if fault.body is not None else replace(fault, body=right.body)

    return script


def refused(code: str) -> Any:
    return {"error": {"message": "No.", "code": code}, "detail": "No.", "error_type": code}


PAGE = Reply(body=b"<title>Sign in</title>", headers={"content-type": "text/html"})
PRIVATE = Reply(status=302, headers={"location": "https://10.0.0.1/picture.png"})
WAIT = Reply(status=429, body=refused("rate_limited"), headers={"retry-after": "3600"})
UNPAID = Reply(status=402, body=refused("insufficient_credits"))
STORM = Reply(status=503, body=refused("service_unavailable"))


@cache
def bomb(start: bytes) -> Reply:
    return Reply(body=packed(start), headers={"content-encoding": "gzip, gzip"})


PACKED = partial(bomb, b'{"data": [{"b64_json": "')


@cache
def large() -> bytes:
    return huge_png(8900)


MODERATED = Reply(status=400, body=refused("moderation_blocked"))

VENDORS: Mapping[str, Mapping[str, Script]] = {
    "inline": {
        "good": inline,
        "wait": at(is_submit, WAIT, inline),
        "unpaid": at(is_submit, UNPAID, inline),
        "moderation": at(is_submit, MODERATED, inline),
        "storm": at(is_submit, STORM, inline),
        "drip": at(is_submit, Reply(then="drip"), inline),
        "reset": at(is_submit, Reply(then="reset"), inline),
        "cut": at(is_submit, Reply(then="cut"), inline),
        "page": at(is_submit, PAGE, inline),
        "nothing": at(is_submit, Reply(body={"created": 1, "data": []}), inline),
        "private": at(is_submit, PRIVATE, inline),
        "bomb": at(is_submit, PACKED, inline),
        "large": at(is_submit, lambda: Reply(body=image(large())), inline),
    },
    "linked": {
        "good": linked,
        "wait": at(is_submit, WAIT, linked),
        "unpaid": at(is_submit, UNPAID, linked),
        "moderation": at(is_submit, MODERATED, linked),
        "storm": at(is_picture, STORM, linked),
        "drip": at(is_picture, Reply(then="drip"), linked),
        "reset": at(is_picture, Reply(then="reset"), linked),
        "cut": at(is_picture, Reply(then="cut"), linked),
        "page": at(is_picture, PAGE, linked),
        "nothing": at(is_submit, Reply(body={"created": 1, "data": [{}]}), linked),
        "private": at(is_picture, PRIVATE, linked),
        "bomb": at(is_picture, partial(bomb, b"\x89PNG\r\n\x1a\n"), linked),
        "large": at(is_picture, lambda: Reply(body=large()), linked),
    },
    "polled": {
        "good": polled,
        "wait": at(is_submit, WAIT, polled),
        "unpaid": at(is_submit, UNPAID, polled),
        "moderation": ended("content_policy_violation"),
        "storm": at(is_status, STORM, polled),
        "drip": at(is_status, Reply(then="drip"), polled),
        "reset": at(is_submit, Reply(then="reset"), polled),
        "cut": at(is_result, Reply(then="cut"), polled),
        "page": at(is_result, PAGE, polled),
        "nothing": at(is_result, Reply(body={"status": "Ready", "result": {}}), polled),
        "private": at(is_picture, PRIVATE, polled),
        "bomb": at(is_result, PACKED, polled),
        "large": at(is_picture, lambda: Reply(body=large()), polled),
    },
}

KEYS = {
    "OPENAI_API_KEY": "sk-proj-faults0123456789",
    "COMFY_API_KEY": "comfyui-0123456789abcdef0123456789abcdef",
}
ROW = {"priceUsd": 0.03, "minSide": 64, "minPixels": 0}
OPENAI = {"model": "m", "flavour": "openai", "models": {"m": ROW}}
SECTIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "inline": ("openai", OPENAI),
    "linked": ("openai", OPENAI),
    "polled": ("comfy_router", {"model": FLUX}),
}
PRICE = 30_000
"""Of one picture with either, micro-USD."""

Outcome = tuple[str, str]
"""What the result says, and where the charge stands."""

SETTLED, LOST = ("[INVALID_OUTPUT]", "settled"), ("[OUTCOME_UNKNOWN]", "unknown")
LATE = (": PROVIDER_TIMEOUT: the whole call took longer than 5 s (deadline)", "unknown")
UNFETCHED = ("charges for them, but they could not be fetched", "settled")
UNGIVEN = ("the job is done and may be charged, but Comfy Router does not give", "unknown")
UNSENT: Mapping[str, Outcome] = {
    "wait": ("[RATE_LIMITED]", "released"),
    "unpaid": ("[PAYMENT_REQUIRED]", "released"),
    "moderation": ("[CONTENT_REFUSED]", "released"),
}
OUTCOMES: Mapping[str, Mapping[str, Outcome]] = {
    "inline": {
        "good": ('"cost_usd":0.03', "settled"),
        **UNSENT,
        **dict.fromkeys(("storm", "reset", "cut", "page", "bomb"), LOST),
        "drip": LATE,
        "nothing": SETTLED,
        "private": ("[PROVIDER_UNAVAILABLE]", "released"),
        "large": ("a picture of 8900x8900, more than 4 million pixels", "settled"),
    },
    "linked": {
        "good": ('"cost_usd":0.03', "settled"),
        **UNSENT,
        **dict.fromkeys(("storm", "reset", "cut"), UNFETCHED),
        "drip": LATE,
        "nothing": SETTLED,
        "page": ("charges for them, but they are no PNG", "settled"),
        "private": ("stand at an address inside a private network", "settled"),
        "bomb": ("charges for them, but they are larger than 9 MB", "settled"),
        "large": ("a picture of 8900x8900, more than 4 million pixels", "settled"),
    },
    "polled": {
        "good": ('"cost_usd":0.03', "settled"),
        **UNSENT,
        "moderation": ("[CONTENT_REFUSED]", "settled"),  # the vendor does not tell whether it costs
        "reset": LOST,
        "page": ("but not in its API's words: Sign in", "unknown"),
        **dict.fromkeys(("storm", "drip"), LATE),
        **dict.fromkeys(("cut", "bomb"), UNGIVEN),
        "nothing": SETTLED,
        "private": ("stand at an address inside a private network", "settled"),
        "large": ("a picture of 8900x8900, more than 4 million pixels", "settled"),
    },
}


@pytest.mark.parametrize("delivery", VENDORS)
def test_every_fault_ends_in_time_within_memory_and_with_the_right_charge(
    delivery: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        vendors = {
            fault: stack.enter_context(FakeVendor(script))
            for fault, script in VENDORS[delivery].items()
        }
        program = stack.enter_context(started(delivery, tmp_path, vendors))
        output, errors = program.communicate(timeout=100)

    lines = [json.loads(line) for line in output.splitlines()]
    assert {line["fault"] for line in lines} == {*VENDORS[delivery]}, errors[-2000:]
    for line in lines:
        says, state = OUTCOMES[delivery][line["fault"]]
        assert says in line["text"], line
        posts = sum(map(is_submit, vendors[line["fault"]].seen))
        # On a busy machine a deadline of 5 s may pass before anything is sent.
        never = not posts and OUTCOMES[delivery][line["fault"]] == LATE
        states = set[str]() if never else {state}
        held = {hold[0] for hold in line["holds"]}
        assert held == states or (never and held == {state}), line
        actual = PRICE if state == "settled" else None
        assert all(hold[1:] == [actual, PRICE] for hold in line["holds"]), line
        assert line["seconds"] <= deadline(delivery, line["fault"]) + GRACE, line
        assert line["peak"] - lines[0]["peak"] <= MEMORY, line
        assert posts == len(line["holds"]), line
    assert not any(vendor.failures for vendor in vendors.values())


def deadline(delivery: str, fault: str) -> int:
    return SOON if OUTCOMES[delivery][fault] == LATE else LATER


def started(
    delivery: str, folder: Path, vendors: Mapping[str, FakeVendor]
) -> subprocess.Popen[str]:
    """The program that asks the faulty vendors of one delivery."""
    name, section = SECTIONS[delivery]
    faults = {f: (vendors[f].url, deadline(delivery, f)) for f in VENDORS[delivery]}
    section = section | {"local": False}
    command = [sys.executable, "-m", "tests.support.fault_peer", str(folder), name]
    return subprocess.Popen(
        [*command, json.dumps(section), json.dumps(faults)],
        env=os.environ | KEYS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
