"""What LoRAs, ControlNets and references take counts where it is decided what fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.routing.test_planner import ask, codes, context
from ziggie_image_mcp.inventory.types import Gpu, Hardware, Survey
from ziggie_image_mcp.provider import (
    FREE,
    ControlSupport,
    Lora,
    LoraSupport,
    Memory,
    Model,
    Peak,
    Rung,
)
from ziggie_image_mcp.provider.nouns import Role
from ziggie_image_mcp.provider.testing import model
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.request import ControlImage
from ziggie_image_mcp.routing.types import Plan
from ziggie_image_mcp.storage.types import InputImage

GB, MB = 10**9, 10**6
PHOTO = InputImage(id="img_1", width=1024, height=1024)

MEMORY = Memory(
    vram_bytes=3 * GB,
    ram_bytes=6 * GB,
    ram_peaks=(Peak(bytes=6 * GB),),
    rungs=(
        Rung(name="full", vram_bytes=6 * GB, peaks=(Peak(bytes=6 * GB),)),
        Rung(name="model offload", vram_bytes=4 * GB, ram_bytes=5 * GB),
        Rung(name="group offload", vram_bytes=2 * GB, ram_bytes=5 * GB, by_layer=True),
    ),
)


def addition(id: str, size: int, role: Role = "lora", provider: str = "p") -> Model:
    return Model(
        id=id,
        provider=provider,
        where="this_machine",
        tasks={},
        prices=FREE,
        role=role,
        family="sdxl",
        memory=Memory(vram_bytes=size, ram_bytes=size),
    )


ADDITIONS = (
    addition("styles/one.safetensors", 100 * MB),
    addition("two", 200 * MB),
    addition("canny-net", 1 * GB, "control"),
    addition("union-net", 2 * GB, "control"),
    addition("canny-net", 9 * GB, "control", provider="another"),
)


def decide(free: float, *, ram: float = 0, **changes: Any) -> Plan:
    """On one card with so many free gigabytes."""
    nets = ({"canny": "canny-net"}, {"canny": "union-net", "depth": "union-net"})
    one = model(memory=MEMORY, device="gpu", provider="p", family="sdxl", seconds=None)
    able = replace(
        one.tasks["text_to_image"],
        loras=LoraSupport(),
        control=ControlSupport(kinds=frozenset({"canny", "depth"}), max_count=2, nets=nets),
        max_references=4,
        reference_bytes=3 * GB,
    )
    ctx = context(replace(one, tasks={"text_to_image": able}), request=ask(**changes))
    gpu = Gpu(name="a card", vendor="nvidia", index=0, vram_total=48 * GB, vram_free=int(free * GB))
    hardware = Hardware(os="Linux", machine="x86_64", ram_available=int(ram * GB), gpus=(gpu,))
    survey = Survey(models=ctx.survey.models, additions=ADDITIONS)
    return planner.plan(replace(ctx, hardware=hardware, survey=survey))


def maps(*kinds: str) -> dict[str, Any]:
    return {"control": tuple(ControlImage(kind=kind, image=PHOTO) for kind in kinds)}


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, 0),
        ({"loras": (Lora(id="one"),)}, 100 * MB),
        ({"loras": (Lora(id="one"), Lora(id="Two.safetensors"))}, 300 * MB),
        (maps("canny"), GB),
        (maps("canny", "canny"), GB),
        (maps("depth"), 2 * GB),
        (maps("canny", "depth"), 2 * GB),  # one net for both, as the pipeline wants it
        ({"references": (PHOTO, PHOTO)}, 3 * GB),
        ({"loras": (Lora(id="two"),), "references": (PHOTO,), **maps("canny")}, 4200 * MB),
    ],
)
def test_each_weight_counts_once_in_every_way_of_holding_the_model(
    changes: dict[str, Any], more: int
) -> None:
    looking = 3 * GB if "references" in changes else 0

    memory = decide(40, ram=99, **changes).candidates[0].model.memory

    assert [rung.vram_bytes for rung in memory.rungs] == [
        6 * GB + more,
        4 * GB + more,
        2 * GB + looking,  # the layers of the others come and go
    ]
    assert [rung.ram_bytes for rung in memory.rungs] == [0, 5 * GB + more, 5 * GB + more]
    assert [peak.bytes for peak in (*memory.rungs[0].peaks, *memory.ram_peaks)] == [
        6 * GB + more
    ] * 2
    assert (memory.vram_bytes, memory.ram_bytes) == (MEMORY.vram_bytes, MEMORY.ram_bytes)


@pytest.mark.parametrize(
    ("changes", "rung"),
    [({}, "full"), (maps("canny"), "model offload"), ({"references": (PHOTO,)}, "group offload")],
)
def test_a_card_that_holds_the_model_alone_gets_the_next_rung(
    changes: dict[str, Any], rung: str
) -> None:
    # 6 GB fit with the margin, 7 do not; and 4 GB with what looks at references do neither
    assert decide(7, ram=99, **changes).candidates[0].model.rung == rung


def test_the_weights_that_are_laid_over_wait_in_main_memory_too() -> None:
    alone, guided = (decide(5, ram=5.5, **changes) for changes in ({}, maps("canny")))

    assert alone.candidates[0].model.rung == "model offload"
    assert guided.candidates == ()
    assert codes(guided) == {"MEMORY_INSUFFICIENT"}
    (reason,) = guided.rejected[0].reasons
    assert "6.0 GB RAM" in reason.need
