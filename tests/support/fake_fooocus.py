"""A Fooocus-API on a loopback port, in the words of the real one (0.5.0.1, cae8733e)."""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ziggie_image_mcp.provider.testing import Reply, Seen

JUGGERNAUT = "juggernautXL_v8Rundiffusion.safetensors"
ANIME = "anime/animaPencilXL_v500.safetensors"
FLUX = "flux1-dev-fp8.safetensors"
OFFSET = "sd_xl_offset_example-lora_1.0.safetensors"
STYLES = [
    *("Fooocus V2", "Random Style", "Fooocus Enhance", "Fooocus Sharp", "Fooocus Cinematic"),
    *("SAI Pixel Art", "SAI Line Art"),
]
FORBIDDEN = Reply(status=403, body={"detail": "Forbidden"})
NOT_FOUND = Reply(status=404, body={"detail": "Not Found"})
INVALID = Reply(
    status=422,
    body={"detail": [{"loc": ["body", "image_number"], "msg": "Input should be at most 32"}]},
)
UNKNOWN_JOB = {
    "job_id": "",
    "job_type": "Not Found",
    "job_stage": "ERROR",
    "job_progress": 0,
    "job_status": "Job not found",
    "job_step_preview": None,
    "job_result": None,
}
POSTS = {
    "v1/generation/text-to-image": "Text to Image",
    "v2/generation/text-to-image-with-ip": "Text to Image",
    "v2/generation/image-upscale-vary": "Image Upscale or Variation",
    "v2/generation/image-inpaint-outpaint": "Image Inpaint or Outpaint",
}
GRADIO: dict[str, Any] = {
    "version": "3.41.2",
    "mode": "blocks",
    "title": "Fooocus 2.5.5",
    "components": [],
}


def png(width: int, height: int, facts: dict[str, Any] | None) -> bytes:
    """A picture with what Fooocus writes into it."""
    out, info = io.BytesIO(), PngInfo()
    if facts is not None:
        info.add_text("parameters", json.dumps(facts))
        info.add_text("fooocus_scheme", "fooocus")
    Image.new("RGB", (width, height), "teal").save(out, "PNG", compress_level=1, pnginfo=info)
    return out.getvalue()


@dataclass
class Job:
    """One in its queue, or in its history."""

    id: str
    kind: str
    body: dict[str, Any]
    files: list[str] = field(default_factory=list[str])
    finished: bool = False
    failed: bool = False


@dataclass
class FakeFooocus:
    """The script of a `FakeVendor`: answers as one Fooocus-API."""

    models: list[str] = field(default_factory=lambda: [JUGGERNAUT, ANIME, FLUX])
    loras: list[str] = field(default_factory=lambda: [OFFSET, "styles\\pixel.safetensors"])
    key: str = ""
    full: bool = False
    """Whether its queue takes nothing more."""
    before: int = 0
    """Jobs of others that wait before ours."""
    fails: bool = False
    """Whether jobs fail, as for lack of memory: their console alone says why."""
    makes: int | None = None
    """So many pictures of a job, as where it is stopped; None: all."""
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the pictures say otherwise."""
    size: tuple[int, int] | None = None
    """Of the pictures, instead of that which was asked for."""
    gate: threading.Event | None = None
    """Holds the pictures back; a stop lets them go."""
    marks_the_start: bool = False
    """Whether jobs that run are called RUNNING: those of 0.5.0.1 are WAITING till they end."""
    posted: list[tuple[str, dict[str, Any]]] = field(
        default_factory=list[tuple[str, dict[str, Any]]]
    )
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    stops: int = 0
    asked: list[str] = field(default_factory=list[str])

    def restart(self) -> None:
        """Forget all jobs, as the real one does, which keeps them in memory."""
        self.jobs.clear()

    def __call__(self, seen: Seen) -> Reply:
        url = urlsplit(seen.path)
        path = url.path.lstrip("/")
        self.asked.append(f"{seen.method} {path}")
        if path.startswith("files/"):
            return self._file(path)
        secured = path.startswith(("v1/", "v2/", "ping")) and self.key
        if secured and seen.headers.get("x-api-key") != self.key:
            return FORBIDDEN
        if seen.method == "POST" and path in POSTS:
            return self._take(path, seen.body)
        if seen.method == "POST" and path == "v1/generation/stop":
            self.stops += 1
            if self.gate is not None:
                self.gate.set()
            return Reply(body={"msg": "success"})
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        return self._read(path, query) if seen.method == "GET" else NOT_FOUND

    def _read(self, path: str, query: dict[str, str]) -> Reply:
        open_jobs = [job for job in self.jobs.values() if not job.finished]
        if path == "ping":
            return Reply(body="pong")
        if path == "v1/engines/all-models":
            return Reply(body={"model_filenames": self.models, "lora_filenames": self.loras})
        if path == "v1/engines/styles":
            return Reply(body=STYLES)
        if path == "v1/generation/job-queue":
            size = len(open_jobs) + self.before
            return Reply(body={"running_size": size, "finished_size": 0, "last_job_id": None})
        if path == "v1/generation/job-history":
            queue = [self._row(f"other-{i}") for i in range(self.before)]
            queue += [self._row(job.id) for job in open_jobs]
            return Reply(body={"queue": queue, "history": []})
        if path == "v1/generation/query-job":
            job = self.jobs.get(query["job_id"])
            if job is None:
                return Reply(status=404, body=UNKNOWN_JOB)
            if not self.before and (self.gate is None or self.gate.is_set()):
                self._finish(job)
            return Reply(body=self._state(job, preview=query["require_step_preview"] == "true"))
        return NOT_FOUND

    def _row(self, id: str) -> dict[str, Any]:
        times = {"in_queue_mills": 1, "start_mills": 0, "finish_mills": 0}
        return {"job_id": id, "is_finished": False, **times}

    def _take(self, path: str, body: dict[str, Any]) -> Reply:
        assert body["async_process"] is True
        if self.full:
            reasons = {"base64": None, "url": None, "seed": "", "finish_reason": "QUEUE_IS_FULL"}
            refused = {**UNKNOWN_JOB, "job_type": POSTS[path], "job_status": None}
            return Reply(body={**refused, "job_result": [reasons]})
        self.posted.append((path, body))
        job = Job(id=f"job-{len(self.posted)}", kind=POSTS[path], body=body)
        self.jobs[job.id] = job
        return Reply(body=self._state(job, preview=False))

    def _finish(self, job: Job) -> None:
        job.finished, job.failed = True, self.fails
        count = job.body["image_number"] if self.makes is None else self.makes
        job.files = [f"2026-11-29/{job.id}-{i}.png" for i in range(0 if self.fails else count)]

    def _state(self, job: Job, *, preview: bool) -> dict[str, Any]:
        runs = not job.finished and not self.before and job.id in self.jobs and self.gate
        stage = "RUNNING" if runs and self.marks_the_start else "WAITING"
        state = {
            "job_id": job.id,
            "job_type": job.kind,
            "job_stage": stage,
            "job_progress": 40 if runs else 0,
            "job_status": "Step 12/30 in the 1-th Sampling" if runs else None,
            "job_step_preview": base64.b64encode(b"hello").decode() if runs and preview else None,
            "job_result": None,
        }
        if not job.finished:
            return state
        if job.failed:
            words = "Loading models ..."
            return {**state, "job_stage": "ERROR", "job_progress": 8, "job_status": words}
        results = [
            {
                "base64": None,
                "url": f"http://192.168.1.99:8888/files/{file}",
                "seed": str(job.body.get("image_seed", 0) + i),
                "finish_reason": "SUCCESS",
            }
            for i, file in enumerate(job.files)
        ]
        done = {"job_stage": "SUCCESS", "job_progress": 100, "job_status": "Finished"}
        return {**state, **done, "job_result": results}

    def _file(self, path: str) -> Reply:
        name = path.removeprefix("files/")
        job = next((job for job in self.jobs.values() if name in job.files), None)
        if job is None:
            return NOT_FOUND
        body = job.body
        advanced = body.get("advanced_params", {})
        if body.get("uov_method") == "Upscale (Fast 2x)":
            width, height = _size(body["input_image"])
            return Reply(body=png(*(self.size or (2 * width, 2 * height)), None))
        asked = body["base_model_name"]
        used = asked if asked in self.models else self.models[0]
        facts = {
            "base_model": _stem(used),
            "steps": advanced["overwrite_step"],
            "guidance_scale": body.get("guidance_scale", 1.0),
            "sampler": advanced.get("sampler_name", "dpmpp_2m_sde_gpu"),
            "scheduler": advanced.get("scheduler_name", "karras"),
            "seed": str(body["image_seed"]),
            "loras": [[_stem(one["model_name"]), one["weight"], "e3b0"] for one in body["loras"]],
            **self.facts,
        }
        size = tuple(map(int, body["aspect_ratios_selection"].split("*")))
        if "input_image" in body:
            size = _size(body["input_image"])
        width, height = self.size or (size[0], size[1])
        return Reply(body=png(width, height, facts))


def _stem(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors")


def _size(text: str) -> tuple[int, int]:
    data = base64.b64decode(text)
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def plain_fooocus(seen: Seen) -> Reply:
    """Fooocus itself: a page, without an API."""
    if seen.path == "/config":
        return Reply(body=GRADIO)
    if seen.path == "/":
        return Reply(body=b"<html>Fooocus</html>", headers={"content-type": "text/html"})
    return NOT_FOUND
