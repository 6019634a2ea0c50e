"""Comfy Cloud on a loopback port, in the words of its published specifications."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_comfyui import FILES, NODES
from ziggie_image_mcp.provider.testing import Reply, Seen, picture

JOB_ID = "7f3d2c1b-9a8e-4d6f-b012-3c4d5e6f7a8b"
PNG = picture(8, 8)
MODELS = {**FILES, "upscale_models": ["4x-UltraSharp.pth"]}
JOBS = "/api/v2/jobs"
STATS: dict[str, Any] = {
    "system": {"os": "linux", "comfyui_version": "0.41.0", "argv": [], "ram_total": 4_000_000_000},
    "devices": [{"name": "cpu", "type": "cpu", "vram_total": 1, "vram_free": 1}],
}


def is_submit(seen: Seen) -> bool:
    return seen.method == "POST" and seen.path == JOBS


def is_poll(seen: Seen) -> bool:
    return seen.method == "GET" and seen.path == f"{JOBS}/{JOB_ID}"


def is_cancel(seen: Seen) -> bool:
    return seen.path == f"{JOBS}/{JOB_ID}/cancel"


def job(status: str = "queued", **more: Any) -> dict[str, Any]:
    """A job as every answer about it tells."""
    began = status != "queued"
    ended = status in ("succeeded", "failed", "canceled", "expired")
    url = f"{JOBS}/{JOB_ID}"
    return {
        "id": JOB_ID,
        "status": status,
        "created_at": "2026-11-29T07:00:00Z",
        "started_at": "2026-11-29T07:00:09Z" if began else None,
        "completed_at": "2026-11-29T07:00:51Z" if ended else None,
        "expires_at": "2026-12-29T07:00:00Z",
        "queue_position": None if began else 2,
        "progress": None,
        "outputs": [],
        "error": None,
        "metrics": {"queue_ms": 9000, "execution_ms": 4200 if began else None},
        "urls": {"self": url, "events": f"{url}/events", "cancel": f"{url}/cancel"},
        **more,
    }


def output(url: str, node: str = "save", **more: Any) -> dict[str, Any]:
    """One file of a job."""
    return {
        "node_id": node,
        "name": f"{node}_00001_.png",
        "type": "image",
        "content_type": "image/png",
        "size_bytes": len(PNG),
        "id": f"9f8a1c0d-{node}",
        "hash": None,
        "url": url,
        "url_expires_at": "2026-11-29T08:00:00Z",
        "job_id": JOB_ID,
        **more,
    }


def refusal(status: int, code: str, message: str = "No.", **headers: str) -> Reply:
    body = {"error": {"code": code, "message": message, "details": None}}
    return Reply(status=status, body=body, headers=headers)


@dataclass
class FakeComfyCloud:
    """Answers as one whose jobs end with the first look."""

    models: dict[str, list[str]] = field(default_factory=lambda: {**MODELS})
    """The files by folder."""
    uploads: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """By the ids that they got."""
    saves: list[str] = field(default_factory=list[str])
    """The nodes of the last graph that give pictures."""
    metrics: dict[str, int | None] = field(
        default_factory=lambda: {"queue_ms": 9000, "execution_ms": 4200}
    )
    own_host: bool = False
    """Whether pictures are named at the API's own host, where a key is wanted for them."""

    def __call__(self, seen: Seen) -> Reply:
        path = seen.path.partition("?")[0]
        if path == "/api/v2/assets":
            return self._stored(seen)
        if is_submit(seen):
            nodes = seen.body["workflow"]
            self.saves = [id for id, n in nodes.items() if n["class_type"] == "SaveImage"]
            return Reply(status=201, body=job())
        if is_cancel(seen):
            return Reply(body=job("canceling"))
        if is_poll(seen):
            return Reply(body=self.done(seen.origin))
        if path.startswith("/signed/"):
            return Reply(body=PNG)
        if path.startswith("/api/v2/assets/") and path.endswith("/content"):
            return Reply(status=302, headers={"location": f"{seen.origin}/signed/a.png?X-Sig=s3"})
        folder = path.removeprefix("/api/experiment/models/")
        if folder in self.models:
            return Reply(body=[{"name": name, "pathIndex": 0} for name in self.models[folder]])
        answers: dict[str, Any] = {
            "/api/system_stats": STATS,
            "/api/object_info": NODES,
            "/api/user": {"status": "active"},
            "/api/prompt": {"exec_info": {"queue_remaining": 3}},
        }
        if path in answers:
            return Reply(body=answers[path])
        return Reply(status=404, body={"code": "NOT_FOUND", "message": "not found"})

    def done(self, origin: str) -> dict[str, Any]:
        """The job at its good end."""
        place = "signed" if not self.own_host else "api/files"
        outputs = [output(f"{origin}/{place}/{id}.png", id) for id in self.saves]
        return job("succeeded", outputs=outputs[::-1], metrics=self.metrics)

    def _stored(self, seen: Seen) -> Reply:
        data = seen.form["file"]
        assert isinstance(data, bytes)
        id = hashlib.sha256(data).hexdigest()[:32]
        self.uploads[id] = data
        entry: dict[str, Any] = {
            "id": id,
            "hash": None,
            "size_bytes": len(data),
            "content_type": "image/png",
        }
        entry |= {"file_path": seen.form["file_path"], "created_new": True}
        entry |= {"created_at": "2026-11-29T07:00:00Z", "url": f"{seen.origin}/uploaded/{id}"}
        return Reply(status=201, body=entry | {"url_expires_at": "2026-11-29T08:00:00Z"})
