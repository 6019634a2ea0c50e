"""Say what a model of a family does: tasks, options, LoRAs, control, references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ziggie_image_mcp.provider import (
    Bucket,
    Buckets,
    ControlSupport,
    FreeSize,
    LoraSupport,
    Option,
    PromptLimit,
    SizeRule,
    Task,
    TaskCapability,
)
from ziggie_image_providers.diffusers.additions import (
    ALONE,
    Addition,
    extras_bytes,
    ip_adapter_for,
    loads_loras,
    nets_by_kind,
)
from ziggie_image_providers.diffusers.families import Family

MAX_IMAGES = 16
"""Of one request, made one after another."""

MAX_NETS = 2
"""ControlNets in one request."""

MAX_SEEN = 4
"""References that an IP-Adapter is given."""


def tasks(
    family: Family | None,
    sizes: FreeSize,
    *,
    name: str | None = None,
    guided: bool,
    prompt_tokens: int | None,
    additions: Sequence[Addition] = (),
) -> Mapping[Task, TaskCapability]:
    """List what a model does. Without guidance (distilled models) no negative prompt works.

    Args:
        family: Its class, where that is known.
        sizes: What it makes, where the class makes any size.
        name: Its family's name.
        guided: Whether it takes a guidance.
        prompt_tokens: How much of a prompt it reads.
        additions: The LoRAs and ControlNets that are here.
    """
    limit = PromptLimit(count=prompt_tokens, unit="tokens", beyond="cut") if prompt_tokens else None
    options: set[Option] = {"seed"} if family is None else _options(family, guided=guided)
    plain = TaskCapability(
        sizes=_sizes(family, sizes),
        options=frozenset(options),
        max_images=MAX_IMAGES,
        max_prompt=limit,
    )
    if family is None:
        return {"text_to_image": plain}
    if family.loras and loads_loras() and any(a.role == "lora" for a in additions):
        plain = replace(plain, loras=LoraSupport())
    adapter = ip_adapter_for(name, additions) if family.ip_adapter else None
    if adapter is not None:
        weights = extras_bytes([adapter])
        plain = replace(plain, max_references=MAX_SEEN, reference_bytes=weights)
    able: dict[Task, TaskCapability] = {}
    if family.text:
        able["text_to_image"] = replace(
            plain,
            max_references=family.references or plain.max_references,
            control=_control(family.controls, name, additions),
        )
    if family.image_to_image:
        strength: set[Option] = set() if family.references else {"strength"}
        able["image_to_image"] = replace(
            plain,
            options=plain.options | strength,
            max_references=max(0, family.references - 1) or plain.max_references,
            control=_control(family.image_to_image_controls, name, additions),
        )
    if family.inpaint:
        able["inpaint"] = replace(
            plain,
            sizes=replace(sizes, exact=False) if not family.inpaint_exact else plain.sizes,
            options=plain.options | {"strength"},
            max_references=family.inpaint_references or plain.max_references,
            mask="white",
            control=_control(family.inpaint_controls, name, additions),
        )
    return able


def _options(family: Family, *, guided: bool) -> set[Option]:
    options: set[Option] = {"seed", "steps"}
    if guided:
        options.add("guidance_scale")
    if guided and family.negative:
        options.add("negative_prompt")
    if family.samplers:
        options |= {"sampler", "scheduler"}
    if family.seamless:
        options.add("seamless")
    if family.transparent:
        options.add("transparent")
    return options


def _sizes(family: Family | None, sizes: FreeSize) -> SizeRule:
    if family is None or not family.sizes:
        return sizes
    return Buckets(sizes=tuple(Bucket(width=w, height=h) for w, h in family.sizes))


def _control(
    pipelines: Mapping[str, str], name: str | None, additions: Sequence[Addition]
) -> ControlSupport | None:
    nets = nets_by_kind(pipelines, name, additions)
    if not nets:
        return None
    return ControlSupport(
        kinds=frozenset(kind for one in nets for kind in one),
        max_count=MAX_NETS if pipelines.keys() - ALONE else 1,
        nets=tuple({kind: net.id for kind, net in one.items()} for one in nets),
    )
