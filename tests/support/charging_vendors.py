"""Vendors on loopback ports that charge: each keeps a log of its own, and fails as it is told."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture

SIDE = 1024

Fault = Literal[
    "none",
    "wait",
    "unpaid",
    "rejected",
    "moderated",
    "storm",
    "page",
    "reset",
    "spoilt",
    "slow",
]
"""What becomes of a request: `moderated` is charged, and its price is told; so it is with `spoilt`,
whose picture is none. After `page` and `reset` it is charged, and nobody tells; `storm` charges
nothing, which nobody tells either. What is `slow` is charged, and has no end."""


@dataclass(frozen=True, kw_only=True)
class VendorCharge:
    """A line of a vendor's log."""

    prompt: str
    micro_usd: int


class ChargingVendor:
    """One vendor on `url` while its block lasts.

    Args:
        fault: What becomes of the request with a prompt.
        latency: Seconds that an answer to such a request takes, and then the picture.
    """

    name: ClassVar[str]
    key_name: ClassVar[str]
    model: ClassVar[str]
    list_price: ClassVar[int]

    def __init__(
        self,
        fault: Callable[[str], Fault] = lambda _: "none",
        latency: Callable[[str], float] = lambda _: 0.0,
    ) -> None:
        self.charges: list[VendorCharge] = []
        self.posts: list[str] = []
        """The prompts of what was to be made."""
        self.fault = fault
        self._latency = latency
        self._lock = threading.Lock()
        self._prompts: dict[str, tuple[str, float]] = {}
        """Of each job: its prompt, and when its picture is there."""
        self._vendor = FakeVendor(self._reply)
        self.url = self._vendor.url

    def __enter__(self) -> Self:
        self._vendor.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._vendor.__exit__(*error)
        if self._vendor.failures:
            raise self._vendor.failures[0]

    def price(self, prompt: str) -> int:
        """What a picture costs, micro-USD: a little less than the list says, each time another."""
        return self.list_price - zlib.crc32(f"{self.name} {prompt}".encode()) % 9_973

    def section(self, url: str = "") -> dict[str, Any]:
        """Its section of config.json."""
        return {"baseUrl": url or self.url, "local": False, "livePrices": False}

    def prompt_of(self, seen: Seen) -> str | None:
        """The prompt of a request for a picture; None of any other."""
        raise NotImplementedError

    def made(self, seen: Seen, prompt: str, fault: Fault) -> Reply:
        """The answer to a request that was taken."""
        raise NotImplementedError

    def asked(self, seen: Seen) -> Reply:
        """The answer to what costs nothing."""
        raise NotImplementedError

    def refusals(self) -> Mapping[Fault, Reply]:
        """What is said to requests that are not taken, and cost nothing."""
        raise NotImplementedError

    def start(self, job: str, prompt: str) -> None:
        """Remember a job."""
        self._prompts[job] = (prompt, time.monotonic() + self._latency(prompt))

    def job(self, job: str) -> tuple[str, bool] | None:
        """A job's prompt, and whether its picture is there; None where there is no such job."""
        if job not in self._prompts:
            return None
        prompt, ready = self._prompts[job]
        return prompt, time.monotonic() >= ready and self.fault(prompt) != "slow"

    def _reply(self, seen: Seen) -> Reply:
        if seen.path == "/made.png":
            return Reply(body=picture(SIDE, SIDE))
        if seen.path == "/spoilt.png":
            return Reply(body=b"\x89PNG\r\n\x1a\n and so on")
        prompt = self.prompt_of(seen)
        if prompt is None:
            return self.asked(seen)
        fault = self.fault(prompt)
        with self._lock:
            self.posts.append(prompt)
            if fault == "storm":
                return Reply(status=503, body={"error": "overloaded"})
            if fault in self.refusals():
                return self.refusals()[fault]
            self.charges.append(VendorCharge(prompt=prompt, micro_usd=self.price(prompt)))
        if fault == "page":
            return Reply(body=b"<title>Sign in</title>", headers={"content-type": "text/html"})
        if fault == "reset":
            return Reply(then="reset")
        time.sleep(self._latency(prompt))
        return self.made(seen, prompt, fault)


class ChargingRunware(ChargingVendor):
    """Is polled, and finds a task again by the name that the run's key gave it."""

    name = "runware"
    key_name = "RUNWARE_API_KEY"
    model = "bfl:5@1"
    list_price = 30_000

    def prompt_of(self, seen: Seen) -> str | None:
        return _task(seen).get("positivePrompt")

    def made(self, seen: Seen, prompt: str, fault: Fault) -> Reply:
        task = _task(seen)
        self.start(task["taskUUID"], prompt)
        return Reply(body={"data": [{key: task[key] for key in ("taskType", "taskUUID")}]})

    def asked(self, seen: Seen) -> Reply:
        task = _task(seen)
        found = self.job(task.get("taskUUID", ""))
        if task.get("taskType") != "getResponse" or found is None:
            error = {"code": "invalidTaskUUID", "message": "There is no such task."}
            return Reply(status=400, body={"errors": [error]})
        prompt, ready = found
        entry = {"taskType": "imageInference", "taskUUID": task["taskUUID"]}
        if not ready:
            return Reply(body={"data": [entry | {"status": "processing", "progress": 40}]})
        fault = self.fault(prompt)
        entry |= {"status": "success", "imageUUID": "u", "cost": self.price(prompt) / 1e6}
        if fault == "moderated":
            return Reply(body={"data": [entry | {"imageURL": None, "NSFWContent": True}]})
        name = "spoilt" if fault == "spoilt" else "made"
        return Reply(body={"data": [entry | {"imageURL": f"{seen.origin}/{name}.png"}]})

    def refusals(self) -> Mapping[Fault, Reply]:
        def said(status: int, code: str, **headers: str) -> Reply:
            body = {"errors": [{"code": code, "message": "No."}]}
            return Reply(status=status, body=body, headers=headers)

        return {
            "wait": said(429, "rateLimitExceeded", **{"retry-after": "3600"}),
            "unpaid": said(402, "insufficientCredits"),
            "rejected": said(400, "invalidWidth"),
        }


class ChargingXAI(ChargingVendor):
    """Answers with the picture, and can look nothing up."""

    name = "xai"
    key_name = "XAI_API_KEY"
    model = "grok-imagine-image-2.0"
    list_price = 40_000

    def prompt_of(self, seen: Seen) -> str | None:
        return None if seen.method == "GET" else str(seen.body["prompt"])

    def made(self, seen: Seen, prompt: str, fault: Fault) -> Reply:
        if fault == "slow":
            return Reply(then="hang")
        usage = {"usage": {"cost_in_usd_ticks": self.price(prompt) * 10_000}}
        if fault == "moderated":
            return Reply(body={"data": [], "block_reason": "prompt"} | usage)
        data = picture(SIDE, SIDE) if fault != "spoilt" else b"\x89PNG\r\n\x1a\n and so on"
        item = {"b64_json": base64.b64encode(data).decode(), "mime_type": "image/png"}
        return Reply(body={"data": [item]} | usage)

    def asked(self, seen: Seen) -> Reply:
        return Reply(body={"name": "a key", "models": []})

    def refusals(self) -> Mapping[Fault, Reply]:
        wait = {"retry-after": "3600"}
        return {
            "wait": Reply(status=429, body={"error": "Too many requests"}, headers=wait),
            "unpaid": Reply(status=402, body={"error": "no credits"}),
            "rejected": Reply(status=422, body={"error": "aspect_ratio: not one of ours"}),
        }


class ChargingBfl(ChargingVendor):
    """Is polled by an id that it gives, and tells the price in credits."""

    name = "bfl"
    key_name = "BFL_API_KEY"
    model = "flux-2-pro"
    list_price = 30_000

    def prompt_of(self, seen: Seen) -> str | None:
        return str(seen.body["prompt"]) if seen.method == "POST" else None

    def made(self, seen: Seen, prompt: str, fault: Fault) -> Reply:
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, prompt))
        self.start(id, prompt)
        address = f"{seen.origin}/v1/get_result?id={id}"
        return Reply(body={"id": id, "polling_url": address, "cost": self._credits(prompt)})

    def asked(self, seen: Seen) -> Reply:
        found = self.job(seen.path.partition("?id=")[2])
        if found is None:
            return Reply(body={"id": "", "status": "Task not found", "result": None})
        prompt, ready = found
        if not ready:
            return Reply(body={"id": "", "status": "Pending", "result": None})
        fault, cost = self.fault(prompt), {"cost": self._credits(prompt)}
        if fault == "moderated":
            return Reply(body={"id": "", "status": "Content Moderated", "result": None} | cost)
        name = "spoilt" if fault == "spoilt" else "made"
        result = {"sample": f"{seen.origin}/{name}.png"}
        return Reply(body={"id": "", "status": "Ready", "result": result} | cost)

    def _credits(self, prompt: str) -> float:
        return self.price(prompt) / 10_000

    def refusals(self) -> Mapping[Fault, Reply]:
        wait = {"retry-after": "3600"}
        return {
            "wait": Reply(status=429, body={"detail": "Too many"}, headers=wait),
            "unpaid": Reply(status=402, body={"detail": "Insufficient credits"}),
            "rejected": Reply(status=422, body={"detail": [{"msg": "no", "loc": ["body", "w"]}]}),
        }


VENDORS: tuple[type[ChargingVendor], ...] = (ChargingRunware, ChargingXAI, ChargingBfl)


def _task(seen: Seen) -> dict[str, Any]:
    """The one task of a list; nothing where there is none."""
    tasks: Any = json.loads(seen.content) if seen.content else []
    return dict(tasks[0]) if tasks else {}
