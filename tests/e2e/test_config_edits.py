"""A config that is edited while the server runs binds the next call, and the jobs that wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.cli.test_main import run
from tests.e2e.test_end_to_end import server, text
from tests.support.factory import service
from tests.support.fake_vendors import Answer, FakeVendor, Seen, openai_pictures
from tests.support.wire import Wire
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.config.loader import default_path
from ziggie_image_mcp.errors import RateLimited
from ziggie_image_mcp.provider import Generation, Model, ProviderRequest, Run, Submission
from ziggie_image_mcp.provider.testing import FakePaidProvider, picture
from ziggie_image_mcp.routing.request import ImageRequest

pytestmark = pytest.mark.usefixtures("warm")

PAY: Mapping[str, Any] = {"prompt": "a cat", "model": "gpt-image-2", "allow_paid": True}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdefghijklmnopqrstuvwxyz0123")


def paint(seen: Seen) -> Answer:
    if seen.method == "POST":
        return Answer(body=openai_pictures(picture(1024, 1024)))
    return Answer(body={"object": "list", "data": [{"id": "gpt-image-2"}]})


def config(url: str, **more: Any) -> dict[str, Any]:
    providers: dict[str, Any] = {
        "openai": {"baseUrl": url, "local": False} | more.pop("openai", {}),
        "comfyui": {"enabled": False},
        "replicate": {"enabled": False},
    }
    return {"cache": False, "providers": providers, "budget": {"perDay": 5}} | more


def posts(vendor: FakeVendor) -> int:
    return len([line for line in vendor.asked if line.startswith("POST")])


def write(folder: Path, settings: dict[str, Any]) -> None:
    whole = {"output": {"directory": str(folder / "pictures")}} | settings
    (folder / "config.json").write_text(json.dumps(whole), encoding="utf-8")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"privacy": "local_only"}, "local_only"),
        ({"openai": {"enabled": False}}, "providers.openai.enabled: false"),
        ({"allowPaidFallback": "never"}, "allowPaidFallback is never"),
        ({"budget": {"perDay": 0.0001}}, "budget.perDay"),
        ({"openai": {"budget": {"perDay": 0.0001}}}, "providers.openai.budget.perDay"),
        ({"provider": "local"}, "provider"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_a_stricter_config_binds_the_next_call(
    edit: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with FakeVendor(paint) as vendor, server(tmp_path, **config(vendor.url)) as wire:
        wire.hello()
        before = wire.call(1, "generate_image", dict(PAY))
        sent = posts(vendor)
        write(tmp_path, config(vendor.url, **edit))
        refused = wire.call(2, "generate_image", dict(PAY))
        sent_then = posts(vendor)
        write(tmp_path, config(vendor.url))
        again = wire.call(3, "generate_image", dict(PAY))
        wire.end()

    assert not before["result"].get("isError"), text(before)
    assert refused["result"]["isError"]
    assert says in text(refused)
    assert (sent, sent_then) == (1, 1)
    assert not again["result"].get("isError"), text(again)


def test_config_set_binds_the_next_call_of_a_running_server(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    with FakeVendor(paint) as vendor, server(tmp_path, **config(vendor.url)) as wire:
        wire.hello()
        before = wire.call(1, "generate_image", dict(PAY))
        done = run("config", "set", "budget.perDay", "0.0001", "--config", str(file))
        refused = wire.call(2, "generate_image", dict(PAY))
        wrong = run("config", "set", "budget.perDay", "much", "--config", str(file))
        run("config", "set", "budget.perDay", "5", "--config", str(file))
        again = wire.call(3, "generate_image", dict(PAY))
        wire.end()

    assert done.returncode == 0, done.stderr
    assert wrong.returncode == 1
    assert not before["result"].get("isError"), text(before)
    assert "budget.perDay" in text(refused)
    assert not again["result"].get("isError"), text(again)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("{nope", "line 1, column 2"),
        ('{"prefernce": "cost"}', "unknown key `prefernce`"),
        ('{"providers": {"openai": {"timeuot": 3}}}', "timeuot"),
        ('{"provider": "opnai"}', "'opnai' is no provider"),
        (None, "there is no such file"),
    ],
)
def test_a_config_that_breaks_leaves_the_last_good_one_in_force_and_every_answer_says_so(
    broken: str | None, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    with FakeVendor(paint) as vendor:
        good = config(vendor.url, allowPaidFallback="never")
        with server(tmp_path, **good) as wire:
            wire.hello()
            wire.call(1, "check_hardware", {})
            if broken is None:
                file.unlink()
            else:
                file.write_text(broken, encoding="utf-8")
            answers = [
                wire.call(2, "check_hardware", {}),
                wire.call(3, "list_models", {}),
                wire.call(4, "generate_image", dict(PAY)),
                wire.call(5, "generate_image", {"prompt": "x", "dry_run": True}),
                wire.call(6, "get_job", {"job_id": "job-none"}),
            ]
            write(tmp_path, good)
            healed = wire.call(7, "check_hardware", {})
            wire.end()

        assert posts(vendor) == 0
    for answer in answers:
        whole = " ".join(c.get("text", "") for c in answer["result"]["content"])
        assert "Warning: " in whole
        assert says in whole
        assert "the settings before it stay in force" in whole
    assert "allowPaidFallback is never" in text(answers[2])
    assert "Warning" not in json.dumps(healed)


def test_what_only_the_next_start_can_change_is_said(tmp_path: Path) -> None:
    off = {"providers": {"comfyui": {"enabled": False}}}
    with server(tmp_path, **off) as wire:
        wire.hello()
        wire.call(1, "check_hardware", {})
        write(tmp_path, off | {"database": f"sqlite:///{tmp_path}/other.sqlite3"})
        answer = wire.call(2, "list_models", {})
        wire.end()

    assert "`database` in config.json takes effect at the next start." in json.dumps(answer)


class OneAtATime(FakePaidProvider):
    """A priced engine on this machine, whose jobs wait for each other."""

    def __init__(self) -> None:
        super().__init__(where="this_machine", device="gpu")
        self.begun, self.go_on = anyio.Event(), anyio.Event()

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        sent = await super().submit(request, model, run)
        self.begun.set()
        return sent

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        await self.go_on.wait()
        return await super().collect(remote_id, request, model, run)


@pytest.mark.parametrize(
    "edit",
    [{"allowPaidFallback": "never"}, {"budget": {"perDay": 0.05}}, {"provider": "cloud"}],
    ids=str,
)
async def test_a_stricter_config_binds_the_jobs_that_wait(
    edit: dict[str, Any], tmp_path: Path
) -> None:
    engine = OneAtATime()
    made = service(tmp_path, engine, budget={"perDay": 1})
    first = await made.start([ImageRequest(prompt="a cat", allow_paid=True)])
    with anyio.fail_after(30):
        await engine.begun.wait()
    second = await made.start([ImageRequest(prompt="a dog", allow_paid=True)])
    await made.reconfigure(Config.model_validate({"budget": {"perDay": 1}} | edit))
    engine.go_on.set()

    ended = await made.job(first.id, 30)
    refused = await made.job(second.id, 30)

    assert ended.status == "done", "what was sent is collected"
    assert refused.status == "failed"
    assert refused.outcome is not None
    assert len(engine.submitted) == 1
    assert [h.state for h in await made.billing.ledger.holds() if h.state != "released"] == [
        "settled"
    ]


@pytest.mark.parametrize(
    "edit", [{"allowPaidFallback": "ask"}, {"budget": {"perDay": 0.03}}], ids=str
)
async def test_a_job_of_several_pictures_that_waits_is_bound_too(
    edit: dict[str, Any], tmp_path: Path
) -> None:
    engine = OneAtATime()
    free: dict[str, Any] = {"budget": {"perDay": 1}, "allowPaidFallback": "withinBudget"}
    made = service(tmp_path, engine, **free)
    first = await made.start([ImageRequest(prompt="a cat")])
    with anyio.fail_after(30):
        await engine.begun.wait()
    second = await made.start([ImageRequest(prompt="a dog"), ImageRequest(prompt="a cow")])
    await made.reconfigure(Config.model_validate(free | edit))
    engine.go_on.set()

    assert (await made.job(first.id, 30)).status == "done"
    assert (await made.job(second.id, 30)).status == "failed"
    assert len(engine.submitted) == 1


async def test_a_stricter_config_binds_what_waits_between_two_tries(tmp_path: Path) -> None:
    paid = FakePaidProvider(answers=[RateLimited("paid", "wait", retry_after=1.0)])
    made = service(tmp_path, paid)
    view = await made.start([ImageRequest(prompt="a cat", allow_paid=True)])
    with anyio.fail_after(30):
        while not paid.submitted:
            await anyio.sleep(0.01)
    await made.reconfigure(Config.model_validate({"allowPaidFallback": "never"}))

    ended = await made.job(view.id, 30)

    assert ended.status == "failed"
    assert len(paid.submitted) == 1


def test_a_default_config_that_is_gone_leaves_the_last_one_in_force(tmp_path: Path) -> None:
    file = default_path()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FakeVendor(paint) as vendor:
        file.write_text(json.dumps(config(vendor.url, privacy="local_only")), encoding="utf-8")
        with Wire() as wire:
            wire.hello()
            wire.call(1, "check_hardware", {})
            file.unlink()
            answer = wire.call(2, "generate_image", dict(PAY))
            wire.end()
        assert posts(vendor) == 0

    whole = " ".join(c.get("text", "") for c in answer["result"]["content"])
    assert "there is no such file any more" in whole


@pytest.mark.parametrize(("value", "state"), [("false", False), ("no", False), ("maybe", None)])
def test_enabled_is_read_as_people_write_it_or_refused(
    value: str, state: bool | None, tmp_path: Path
) -> None:
    with FakeVendor(paint) as vendor:
        settings = config(vendor.url, openai={"enabled": value})
        with server(tmp_path, **settings) as wire:
            wire.hello()
            answer = wire.call(1, "generate_image", dict(PAY))
            wire.end()
        assert posts(vendor) == 0

    says = "providers.openai.enabled"
    assert says in text(answer)
    assert ("neither true nor false" in text(answer)) == (state is None)
