"""Say whose a job and its pictures are: their ids tell it, in whatever process."""

from __future__ import annotations

import hashlib
import re
import secrets

from ziggie_image_mcp.storage import picture_ids

OWNER = "owner"
"""The caller with the token of this machine's owner, whose pictures are those made without one."""


def new_job_id(caller: str) -> str:
    """A job's id that nobody can guess; it tells to which caller it belongs."""
    return f"job-{_mark(caller)}-{secrets.token_hex(16)}"


def job_belongs(job_id: str, caller: str | None) -> bool:
    """Whether this caller may see the job. None is on this machine itself and may see all."""
    return job_id.startswith(job_prefix(caller))


def job_prefix(caller: str | None) -> str:
    """How the ids of the jobs begin that this caller may see."""
    return "" if caller is None else f"job-{_mark(caller)}-"


def picture_mark(caller: str | None) -> str:
    """The mark of the pictures that this caller makes; empty for this machine's owner."""
    return "" if caller in (None, "", OWNER) else _mark(caller)


def mark_of_job(name: str) -> str:
    """The mark of the pictures of the job, or of the attempt, of this name."""
    match = re.match(r"job-([0-9a-f]{8})-", name)
    return "" if match is None or match[1] in (_mark(""), _mark(OWNER)) else match[1]


def picture_belongs(image_id: str, caller: str | None) -> bool:
    """Whether this caller may see the picture. None is on this machine itself and may see all."""
    return caller is None or picture_ids.owner_of(image_id) == picture_mark(caller)


def _mark(caller: str) -> str:
    return hashlib.sha256(caller.encode()).hexdigest()[:8]
