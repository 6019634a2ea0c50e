"""Local engines are known by what they answer, whatever they listen at and whoever hangs beside."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client

from tests.support.factory import opener, service
from tests.support.fake_engines import ANSWERS, FakeEngine
from tests.support.fake_swarmui import FakeSwarm
from ziggie_image_mcp.cli import doctor
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.detection import LOOK_SECONDS, Detector, detect, unused
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.provider import engines
from ziggie_image_mcp.provider.engines import engines as known_engines
from ziggie_image_mcp.provider.nouns import HERE, Probe
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen
from ziggie_image_mcp.server.tools import make_server

UNHURRIED = 8.0
"""Seconds, for a machine that does much else; what hangs costs all of them."""

Script = Callable[[Seen], Reply]


@contextmanager
def listening(*scripts: Script) -> Generator[list[FakeVendor]]:
    with ExitStack() as stack:
        yield [stack.enter_context(FakeVendor(script)) for script in scripts]


def ports(vendors: list[FakeVendor]) -> list[int]:
    return [httpx2.URL(vendor.url).port or 0 for vendor in vendors]


async def names(*scripts: Script) -> list[str]:
    with listening(*scripts) as vendors:
        detected = await detect([HERE], ports(vendors), UNHURRIED)
        return [one.sighting.name for one in detected]


def test_the_table_says_of_each_engine_what_its_fake_answers() -> None:
    assert set(ANSWERS) == set(known_engines())


@pytest.mark.parametrize("name", [*ANSWERS])
async def test_each_engine_is_known_by_its_answers(name: str) -> None:
    assert await names(FakeEngine(name)) == [name]


SIX = ("comfyui", "a1111", "invokeai", "swarmui", "localai", "fooocus")


async def test_six_at_once_are_each_known_while_one_hangs_and_one_breaks_off() -> None:
    def hang(seen: Seen) -> Reply:
        return Reply(then="hang")

    def broken(seen: Seen) -> Reply:
        return Reply(then="reset")

    started = time.monotonic()
    assert await names(hang, broken, *map(FakeEngine, SIX)) == [*SIX]
    assert time.monotonic() - started < UNHURRIED + 1


async def test_what_answers_alike_is_told_apart() -> None:
    alike = ("forge", "koboldcpp", "sdnext", "a1111", "forge-neo", "sd-server", "reforge")

    assert await names(*map(FakeEngine, alike)) == [*alike]


async def test_koboldcpp_answers_as_all_of_them_and_is_known_all_the_same() -> None:
    everything = {path: body for answers in ANSWERS.values() for path, body in answers.items()}
    own = ("sdcpp/v1/capabilities", "api/v1/app/version", "API/GetNewSession")

    assert await names(FakeEngine("koboldcpp", everything)) == ["koboldcpp"]
    less = {p: b for p, b in everything.items() if p not in ("api/extra/version", *own)}
    assert await names(FakeEngine("localai", less)) == ["localai"]


def always(reply: Reply) -> Script:
    return lambda seen: reply


TEXTS_ONLY: dict[str, Any] = {"v1/models": {"data": [{"id": "llama", "owned_by": "vllm"}]}}


@pytest.mark.parametrize(
    "script",
    [
        always(Reply(body=b"<html>Gradio</html>", headers={"content-type": "text/html"})),
        always(Reply(body={"error": "Unexpected endpoint"})),
        always(Reply(status=500, body={})),
        FakeEngine("vllm", TEXTS_ONLY),
    ],
)
async def test_what_is_none_of_them_is_none(script: Script) -> None:
    assert await names(script) == []


async def test_one_route_that_hangs_hides_no_engine() -> None:
    fake = FakeEngine("a1111")

    def script(seen: Seen) -> Reply:
        return Reply(then="hang") if seen.path == "/api/extra/version" else fake(seen)

    assert await names(script) == ["a1111"]


async def test_what_accepts_and_never_answers_is_left_out_in_time() -> None:
    with socket.create_server((HERE, 0), backlog=16) as silent:
        started = time.monotonic()
        assert await detect([HERE], [silent.getsockname()[1]]) == ()
        assert time.monotonic() - started < LOOK_SECONDS + 1


# What is wrong with it


@pytest.mark.parametrize(
    ("name", "answers", "says"),
    [
        ("webui", None, "start it with --api"),
        ("lm-studio", None, "makes no pictures"),
        ("ollama", None, "Ollama has no image generation"),
        ("fooocus-page", None, "run Fooocus-API"),
        (
            "koboldcpp",
            {"api/extra/version": {"result": "KoboldCpp", "txt2img": False}},
            "--sdmodel",
        ),
    ],
)
async def test_what_makes_no_pictures_says_why_and_what_to_do(
    name: str, answers: dict[str, Any] | None, says: str
) -> None:
    with listening(FakeEngine(name, answers)) as vendors:
        [one] = await detect([HERE], ports(vendors), UNHURRIED)

    assert says in one.sighting.problem
    assert "config.json" not in engines.advice(one.sighting, one.url)


@pytest.mark.parametrize(
    ("version", "can"),
    [
        ("0.13.5", False),
        ("0.14.0", True),
        ("0.32.5", True),
        ("0.32.6-rc1", False),
        ("0.33.0", False),
        ("1.0", False),
    ],
)
async def test_ollama_made_pictures_in_some_versions_only(version: str, can: bool) -> None:
    answers: dict[str, Any] = {"api/version": {"version": version}, "api/tags": {"models": []}}
    with listening(FakeEngine("ollama", answers)) as vendors:
        [one] = await detect([HERE], ports(vendors), UNHURRIED)

    assert (one.sighting.problem == "") is can
    assert one.sighting.version == version


# Who is told of it


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("comfyui", '"comfyui": {"baseUrl": "http://127.0.0.1:1"}'),
        ("a1111", '"a1111": {"baseUrl": "http://127.0.0.1:1"}'),
        ("forge", '"forge": {"type": "a1111", "baseUrl": "http://127.0.0.1:1"}'),
        (
            "localai",
            '"localai": {"type": "openai", "baseUrl": "http://127.0.0.1:1/v1", "keyName": null}',
        ),
        (
            "lemonade",
            '"lemonade": {"type": "openai", "baseUrl": "http://127.0.0.1:1/api/v1",'
            ' "keyName": null}',
        ),
    ],
)
def test_the_block_of_config_json_is_told(name: str, block: str) -> None:
    sighting = engines.Sighting(name=name, engine=known_engines()[name])

    assert block in engines.advice(sighting, "http://127.0.0.1:1")


@pytest.mark.parametrize("name", [n for n, e in known_engines().items() if e.provider])
async def test_the_block_wants_no_key_of_a_vendors(name: str, tmp_path: Path) -> None:
    sighting = engines.Sighting(name=name, engine=known_engines()[name])
    block = re.search(r"write (.*) under", engines.advice(sighting, "http://127.0.0.1:1"))
    if block is None:
        assert sighting.engine.problem
        return
    config = Config.model_validate({"providers": json.loads(f"{{{block[1]}}}")})
    registry = Registry(config, tmp_path)
    await registry.open()
    probe = await registry.providers()[name].probe()
    await registry.aclose()

    assert probe.state == "unreachable"
    assert "KEY" not in probe.message


async def test_only_what_no_provider_speaks_with_is_told_of() -> None:
    with listening(*map(FakeEngine, ("comfyui", "localai", "webui"))) as vendors:
        detected = await detect([HERE], ports(vendors), UNHURRIED)
        comfyui, localai, webui = ports(vendors)
    used = {"comfyui": f"http://localhost:{comfyui}/comfy"}
    told = f"a1111: at http://127.0.0.1:{webui}: A Stable Diffusion web UI is up, without its API"

    [(what, _)] = unused(detected, used, told)
    assert what == f"what answers at http://127.0.0.1:{localai} is LocalAI v4.9.0"


async def test_an_engine_is_told_of_though_a_provider_calls_its_address_something_else() -> None:
    with listening(FakeEngine("vllm-omni")) as vendors:
        detected = await detect([HERE], ports(vendors))
        [port] = ports(vendors)

    [(what, _)] = unused(detected, {}, f"something else answers at http://127.0.0.1:{port}")
    assert what.endswith("is vLLM-Omni")


async def test_blocks_of_engines_beside_take_nobodys_name() -> None:
    scripts = map(FakeEngine, ("webui", "forge", "forge", "invokeai", "localai", "localai"))
    with listening(*scripts) as vendors:
        detected = await detect([HERE], ports(vendors))
    others = unused(detected, {"a1111": "http://127.0.0.1:1", "localai": "http://box:8080"}, "")
    names = [re.findall(r'write "([^"]+)"', advice) for _, advice in others]

    assert names == [[], ["forge"], ["forge-2"], ["invokeai"], ["localai-2"], ["localai-3"]]


async def test_an_engine_that_is_seen_under_two_names_is_told_of_once() -> None:
    with listening(FakeEngine("invokeai")) as vendors:
        detected = await detect([HERE, "localhost"], ports(vendors))

    assert len(detected) == 2
    assert len(unused(detected, {}, "")) == 1


async def test_an_engine_of_which_a_model_is_a_vendors_is_asked_how_it_is(tmp_path: Path) -> None:
    with FakeVendor(FakeSwarm()) as vendor:
        made = service(tmp_path, providers={"swarmui": {"baseUrl": vendor.url}})
        made.detector = Detector(lambda: (HERE,), ports([vendor]))
        async with Client(make_server(opener(made))) as client:
            result = await client.call_tool("check_hardware", {})
    assert result.structured_content is not None
    engines_told = {e["provider"]: e for e in result.structured_content["engines"]}

    assert "2 in its queue" in engines_told["swarmui"]["detail"]
    assert result.structured_content["other_engines"] == []


async def test_one_look_serves_all_who_ask_for_a_while() -> None:
    now = [0.0]
    with listening(FakeEngine("invokeai")) as vendors:
        detector = Detector(lambda: (HERE,), ports(vendors), lambda: now[0])
        first = await detector.take()
        asked = len(vendors[0].seen)
        assert await detector.take() is first
        assert len(vendors[0].seen) == asked
        now[0] = 31.0
        assert await detector.take() == first
        assert len(vendors[0].seen) > asked


async def test_check_hardware_and_doctor_tell_of_engines_beside(tmp_path: Path) -> None:
    with listening(FakeEngine("localai"), FakeEngine("ollama")) as vendors:
        made = service(tmp_path)
        made.detector = Detector(lambda: (HERE,), ports(vendors))
        async with Client(make_server(opener(made))) as client:
            result = await client.call_tool("check_hardware", {})
        findings = doctor.other_engines(await made.detector.take(), {}, [])
    told = json.dumps(result.structured_content)

    assert '\\"type\\": \\"openai\\"' in told
    assert "Ollama has no image generation" in told
    assert [f.state for f in findings] == ["warn", "warn"]
    assert "LocalAI" in findings[0].what
    assert '"type": "openai"' in findings[0].fix


def test_what_a_provider_uses_is_no_finding() -> None:
    probe = Probe(state="ready", url="http://127.0.0.1:1/v1")

    assert doctor.other_engines([], {"localai": (probe, None)}, []) == []
