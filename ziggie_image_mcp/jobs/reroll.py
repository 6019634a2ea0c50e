"""Make a picture again with another seed, where a check says that it shows something wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ziggie_image_mcp.jobs.records import AttemptOutcome
from ziggie_image_mcp.provider.nouns import options_of
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Candidate

MOST = 2
"""So often a picture is made again."""


@dataclass(kw_only=True)
class Rerolls:
    """The pictures of one request that a check found wrong. Turns on nothing but records."""

    request: ImageRequest
    _wrong: list[tuple[Candidate, AttemptOutcome]] = field(
        default_factory=list[tuple[Candidate, AttemptOutcome]]
    )

    def next_route(
        self, route: Candidate, outcome: AttemptOutcome, *, may: bool
    ) -> Candidate | None:
        """The same route with the seeds that come next; None where it is not to be taken again.

        Args:
            route: What was taken.
            outcome: What came of it.
            may: Whether another attempt is left.
        """
        if not outcome.problem:
            return None
        self._wrong.append((route, outcome))
        if not may or self._why_not(route) or len(self._wrong) > MOST:
            return None
        sent = route.request
        return replace(route, request=replace(sent, seed=(sent.seed + sent.num_images) % 2**32))

    def best(self) -> tuple[Candidate, AttemptOutcome] | None:
        """What was made first, for want of a better one."""
        return self._wrong[0] if self._wrong else None

    def notes(self, route: Candidate, outcome: AttemptOutcome) -> tuple[str, ...]:
        """What is told of a result that comes of it."""
        if not self._wrong:
            return ()
        first = self._wrong[0][1]
        if not outcome.problem:
            ids = ", ".join(i.id for _, wrong in self._wrong for i in wrong.images)
            return (f"made again with another seed, since {first.problem} ({ids})",)
        if why := self._why_not(route):
            return (f"{outcome.problem}; {why}",)
        others = len(self._wrong) - 1
        seeds = "another seed" if others == 1 else f"{others} other seeds"
        more = f"nor was it right with {seeds}" if others else "making it again failed"
        return (f"{outcome.problem}; {more}",)

    def _why_not(self, route: Candidate) -> str:
        """Why it is not made again, and what the caller can do; empty where it is."""
        if not is_free(route.model.prices):
            return "it was not made again, which costs again: call again if you like"
        if self.request.seed is not None:
            return "another seed may show it right"
        if "seed" not in options_of(route.model, route.request.task):
            return "call again for another picture"
        return ""
