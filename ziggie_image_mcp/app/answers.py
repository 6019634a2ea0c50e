"""Write plans, results and jobs as plain data, the same for tools and the command line."""

from __future__ import annotations

from typing import Any

from ziggie_image_mcp.jobs import prompts
from ziggie_image_mcp.jobs.records import JobView, Result
from ziggie_image_mcp.routing.types import Plan, delivered_size


def plan_data(plan: Plan, most: int | None = None) -> dict[str, Any]:
    """A plan for people and programs: what would be tried, and why not the rest.

    With `most`, no more than so many of each are listed, and the others counted.
    """
    first = plan.candidates[0] if plan.candidates else None
    doubt = plan.advice if first is None else prompts.doubt(first.request.prompt)
    untold = {
        "more_candidates": len(plan.candidates[most:]) if most else 0,
        "more_rejected": len(plan.rejected[most:]) if most else 0,
    }
    return {
        "dry_run": True,
        **{name: count for name, count in untold.items() if count},
        **({"notes": [doubt]} if doubt else {}),
        **({"rule": plan.rule} if plan.rule else {}),
        "candidates": [
            {
                "provider": c.model.provider,
                "model": c.model.id,
                "size": str(delivered_size(c)),
                "steps": c.request.steps,
                "expected_seconds": round(c.seconds, 2),
                **({"load_seconds": round(c.load_seconds, 2)} if c.load_seconds else {}),
                "cost_usd": c.cost_micro_usd / 1e6,
                **(
                    {"expected_cost_usd": c.expected_micro_usd / 1e6}
                    if c.expected_micro_usd != c.cost_micro_usd
                    else {}
                ),
                "score": round(c.score, 9),
                "why": c.why,
                **({"notes": list(c.notes)} if c.notes else {}),
            }
            for c in plan.candidates[:most]
        ],
        "rejected": [
            {
                "provider": r.provider,
                "model": r.model,
                "reasons": [
                    {"code": x.code, "have": x.have, "need": x.need, "fix": x.fix}
                    for x in r.reasons
                ],
            }
            for r in plan.rejected[:most]
        ],
    }


def result_data(result: Result) -> dict[str, Any]:
    """A result for people and programs, without the pictures' bytes."""
    sent = result.request
    requested = (
        f"{result.requested_width}x{result.requested_height}" if result.requested_width else "auto"
    )
    data: dict[str, Any] = {
        "images": [
            {
                "id": i.id,
                "path": i.path,
                "seed": i.seed,
                "size": f"{i.width}x{i.height}",
                **({"proof": i.proof} if i.proof else {}),
                **({"files": list(i.files)} if i.files else {}),
            }
            for i in result.images
        ],
        "provider": result.model.provider,
        "model": result.model.id,
        "requested_size": requested,
        "steps": sent.steps,
        "guidance_scale": sent.guidance_scale,
        "seconds": round(result.seconds, 2),
        "cost_usd": result.cost_micro_usd / 1e6,
        "why": result.why,
    }
    if sent.image_id:
        data["edited"] = sent.image_id
    if notes := [*result.notes, *filter(None, [prompts.doubt(sent.prompt)])]:
        data["notes"] = notes
    if len(result.attempts) > 1:
        data["attempts"] = [
            {
                "provider": a.provider,
                "model": a.model,
                "ok": a.ok,
                "ms": a.milliseconds,
                "error": f"{a.error_code}: {a.error}" if not a.ok else "",
                "cost_usd": a.cost_micro_usd / 1e6,
            }
            for a in result.attempts
        ]
    return data


def outcome_data(view: JobView) -> dict[str, Any]:
    """What a job made: one result as itself, several as a list."""
    assert view.outcome is not None
    results = [result_data(result) for result in view.outcome.results]
    data: dict[str, Any] = results[0] if len(results) == 1 else {"results": results}
    if len(results) != 1 or view.outcome.failures:
        data["cost_usd"] = view.outcome.cost_micro_usd / 1e6
    if view.outcome.failures:
        data["failures"] = [f"{f.code}: {f.message}" for f in view.outcome.failures]
    if view.id:
        data["job_id"] = view.id
    return data


def job_data(view: JobView) -> dict[str, Any]:
    """How far a job is, and what to do next."""
    data: dict[str, Any] = {"job_id": view.id, "status": view.status}
    if view.outcome is None:
        data |= {"progress": round(view.fraction, 3), "doing": view.message}
        data["next"] = "get_job waits for the pictures; cancel_job stops it"
    elif view.outcome.failures:
        data["reason"] = f"{view.outcome.failures[0].code}: {view.outcome.failures[0].message}"
    return data
