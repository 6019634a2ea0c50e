"""Keep the latest picture of the unfinished work of each job, for whoever looks at the gallery."""

from __future__ import annotations

from collections import OrderedDict

from ziggie_image_mcp.app.service import Service

MOST_JOBS = 16
MOST_BYTES = 4 * 1024 * 1024
"""Of one picture."""


class Previews:
    """The previews of the jobs of this process; those of others are not told here."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def attach(self, service: Service) -> None:
        """Have the service's jobs give their previews here, from the next attempt on."""
        service.scheduler.show_previews(self._show)

    def number(self, job_id: str) -> int:
        """How many previews a job gave; 0: there is none to show."""
        return self._latest.get(job_id, (0, b""))[0]

    def picture(self, job_id: str) -> bytes | None:
        """The latest one, JPEG or PNG."""
        latest = self._latest.get(job_id)
        return None if latest is None else latest[1]

    def _show(self, job_id: str, data: bytes) -> None:
        if len(data) > MOST_BYTES:
            return
        self._latest[job_id] = self.number(job_id) + 1, data
        self._latest.move_to_end(job_id)
        if len(self._latest) > MOST_JOBS:
            self._latest.popitem(last=False)
