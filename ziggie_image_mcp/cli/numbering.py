"""Which number each picture of a command has: as it was asked for, whatever else fails."""

from __future__ import annotations

from itertools import accumulate

from ziggie_image_mcp.app.processing import Processing
from ziggie_image_mcp.errors import quote
from ziggie_image_mcp.jobs.records import JobOutcome, Result


class Numbering:
    """The places of the pictures of a call, in the order in which they were named."""

    def __init__(self, work: Processing) -> None:
        counts = [1] * (len(work.made) + len(work.requests))
        here = [one.place for one in work.made]
        routed = [place for place in range(len(counts)) if place not in here]
        for place, one in zip(here, work.made, strict=True):
            counts[place] = len(one.files)
        for place, request in zip(routed, work.requests, strict=True):
            counts[place] = request.num_images
        firsts = [0, *accumulate(counts)]
        self._requests = work.requests
        self._here = [firsts[place] for place in here]
        self._routed = [firsts[place] for place in routed]
        self.count = firsts[-1]
        """Of all pictures."""

    def results(self, outcome: JobOutcome) -> list[tuple[int, Result]]:
        """The results in their order, each with the place of its first picture, from 0."""
        failed = {failure.index for failure in outcome.failures}
        routed = [first for i, first in enumerate(self._routed) if i not in failed]
        firsts = (self._here + routed)[: len(outcome.results)]
        return sorted(zip(firsts, outcome.results, strict=True), key=lambda pair: pair[0])

    def failures(self, outcome: JobOutcome) -> list[str]:
        """What failed, each with the number of its picture where there are several."""
        lines: list[str] = []
        for failure in outcome.failures:
            which = ""
            if failure.index is not None and self.count > 1:
                request = self._requests[failure.index]
                first = self._routed[failure.index] + 1
                last = first + request.num_images - 1
                numbers = f"picture {first}" if first == last else f"pictures {first} to {last}"
                about = quote(" ".join((request.prompt or request.file_name or "").split()))
                which = f"{numbers} of {self.count}{f' ({about})' if about else ''}: "
            lines.append(f"[{failure.code}] {which}{failure.message}")
        return lines
