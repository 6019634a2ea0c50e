from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.specs import problems
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    Cost,
    EngineCrashed,
    Generation,
    Model,
    OutcomeUnknown,
    PaymentRequired,
    Provider,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    RateLimited,
    RemoteJob,
    RequestRejected,
    Run,
    Task,
    options_of,
)
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.testing import FakeVendor, ProviderConformance, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_providers.bfl import Bfl

KEY = "bfl-0123456789abcdef0123456789abcdef"
ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
FLUX3 = "flux-3-image"
PRO = "flux-2-pro"
FLEX = "flux-2-flex"
KLEIN = "flux-2-klein-4b"
KONTEXT = "flux-kontext-pro"
FILL = "flux-pro-1.0-fill"
JOB = ProviderRequest(prompt="a red bicycle", width=1024, height=1024, seed=7)
ROWS: Mapping[str, Any] = Bfl.table

Script = Callable[[Seen], Reply]


class Hasty(Bfl):
    """Asks again at once."""

    first_pause = longest_pause = 0.001


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


# Black Forest Labs, by its published specification


def is_submit(seen: Seen) -> bool:
    return seen.method == "POST"


def is_poll(seen: Seen) -> bool:
    return "/get_result" in seen.path


def started(seen: Seen, **more: Any) -> Reply:
    url = f"{seen.origin}/v1/get_result?id={ID}&region=eu"
    return Reply(body={"id": ID, "polling_url": url, **more})


def stands(status: str, **more: Any) -> Reply:
    return Reply(body={"id": ID, "status": status, "result": None, **more})


def drawn(seen: Seen, **more: Any) -> Reply:
    """Each step of a job that goes well."""
    if seen.path == "/made.png":
        return Reply(body=picture())
    if seen.path == "/v1/credits":
        return Reply(body={"credits": 12.5})
    if is_submit(seen):
        return started(seen)
    return stands("Ready", **{"result": {"sample": f"{seen.origin}/made.png", "seed": 7}} | more)


def instead(applies: Callable[[Seen], bool], reply: Reply) -> Script:
    return lambda seen: reply if applies(seen) else drawn(seen)


# A provider, and what it is asked


def provider(url: str = "http://127.0.0.1:9", **section: Any) -> Bfl:
    async def secret(asked: str) -> str | None:
        return KEY if asked == "BFL_API_KEY" else None

    settings = Bfl.Settings.model_validate({"baseUrl": url, "local": False, **section})
    return Hasty("bfl", settings, ProviderContext(data_dir=Path("unused"), secret=secret))


async def model(tested: Provider, id: str) -> Model:
    return next(m for m in await tested.list_models() if m.id == id)


def edit(task: Task = "image_to_image", **changes: Any) -> ProviderRequest:
    image: dict[str, Any] = {"image_id": "i", "image": SQUARE}
    if task == "inpaint":
        image |= {"mask_id": "m", "mask": left_half(1024, 1024)}
    return replace(JOB, **{"task": task, **image, **changes})


async def make(
    vendor: FakeVendor, request: ProviderRequest = JOB, id: str = PRO, **section: Any
) -> Generation:
    tested = provider(vendor.url, **section)
    try:
        listed = await model(tested, id)
        submission = await tested.submit(request, listed, RUN)
        assert isinstance(submission, RemoteJob)
        return await tested.collect(submission.id, request, listed, RUN)
    finally:
        await tested.aclose()


async def failure(script: Script, **section: Any) -> ProviderError:
    with FakeVendor(script) as vendor, pytest.raises(ProviderError) as error:
        await make(vendor, **section)
    return error.value


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


SQUARE = picture(1024, 1024)
RED = picture(256, 256, "red")


# What it offers


async def test_it_lists_its_table_without_asking_anybody() -> None:
    listed = {m.id: m for m in await provider().list_models()}

    assert list(listed) == list(ROWS)
    assert options_of(listed[FLUX3], "text_to_image") == set()
    assert options_of(listed[PRO], "text_to_image") == {"seed"}
    assert options_of(listed[FLEX], "text_to_image") == {"seed", "steps", "guidance_scale"}
    assert listed[FLUX3].tasks["image_to_image"].max_references == 9
    assert listed[PRO].tasks["text_to_image"].max_references == 8
    assert listed[KLEIN].tasks["text_to_image"].max_references == 4
    assert listed[FILL].tasks["inpaint"].mask == "white"


@pytest.mark.parametrize(
    ("id", "changes", "credits"),
    [
        (PRO, {}, 3),
        (PRO, {"width": 2048, "height": 2048}, 3 + 3 * 1.5),
        (PRO, {"task": "image_to_image", "image_id": "i"}, 4.5),
        (PRO, {"reference_ids": ("r",)}, 3 + 4 * 1.5),
        ("flux-2-max", {}, 7),
        (FLEX, {"task": "image_to_image", "image_id": "i"}, 10),
        (KLEIN, {}, 1.4),
        (KLEIN, {"task": "image_to_image", "image_id": "i"}, 1.5),
        ("flux-2-klein-9b", {"width": 2048, "height": 1024}, 1.7),
        (KONTEXT, {"task": "image_to_image", "image_id": "i"}, 4),
        (FILL, {"task": "inpaint", "image_id": "i"}, 5),
        ("flux-pro-1.1-ultra", {"width": 2048, "height": 2048}, 6),
        (FLUX3, {"width": 768, "height": 768}, 4.1),
        (FLUX3, {}, 4.8),
        (FLUX3, {"width": 2048, "height": 2048}, 10),
        (FLUX3, {"width": 4096, "height": 4096}, 60.7),
    ],
)
async def test_prices_are_those_of_the_table(
    id: str, changes: dict[str, Any], credits: float
) -> None:
    tested = provider()

    estimate = tested.estimate(replace(JOB, **changes), await model(tested, id))

    assert estimate is not None
    assert estimate.upper == pytest.approx(credits * 10_000, abs=1)


async def test_every_shape_of_flux_3_has_a_price_of_its_class() -> None:
    tested = provider()
    listed = await model(tested, FLUX3)
    prices = {"768sq": 41_000, "1k": 48_000, "1.5k": 100_000, "2k": 100_000, "4k": 607_000}

    for name, (width, height) in ROWS[FLUX3].shapes.items():
        estimate = tested.estimate(replace(JOB, width=width, height=height), listed)
        assert estimate is not None
        assert estimate.upper == prices[name.partition(" ")[2]], name


# What it sends


async def test_a_job_is_asked_after_at_the_address_as_it_was_given() -> None:
    with FakeVendor(drawn) as vendor:
        generation = await make(vendor)

    assert vendor.asked == [
        "POST /v1/flux-2-pro",
        f"GET /v1/get_result?id={ID}&region=eu",
        "GET /made.png",
    ]
    post, poll, download = vendor.seen
    assert (post.headers["x-key"], poll.headers["x-key"]) == (KEY, KEY)
    assert "x-key" not in download.headers
    assert generation.images[0].seed == 7


@pytest.mark.parametrize(
    ("address", "remote_id"),
    [
        ("https://api.eu.bfl.ai/v1/get_result?id=7", "https://api.eu.bfl.ai/v1/get_result?id=7"),
        ("https://api.us.bfl.ai/x/y?id=7&a=b", "https://api.us.bfl.ai/x/y?id=7&a=b"),
        ("https://evil.test/v1/get_result?id=7", f"{{home}}/v1/get_result?id={ID}"),
        ("https://api.bfl.ai.evil.test/v1/x", f"{{home}}/v1/get_result?id={ID}"),
        ("", f"{{home}}/v1/get_result?id={ID}"),
    ],
)
async def test_an_address_elsewhere_is_not_asked_but_the_vendors_own(
    address: str, remote_id: str
) -> None:
    reply = Reply(body={"id": ID, "polling_url": address, "cost": 4.5})

    with FakeVendor(instead(is_submit, reply)) as vendor:
        tested = provider(vendor.url)
        job = await tested.submit(JOB, await model(tested, PRO), RUN)
        await tested.aclose()

    assert isinstance(job, RemoteJob)
    assert job.id == remote_id.format(home=vendor.url) + " 4.5"


@pytest.mark.parametrize("address", ["http://api.bfl.ai/v1/x", "https://api.bfl.ai:8443/v1/x"])
async def test_the_key_goes_to_the_vendors_hosts_by_https_alone(address: str) -> None:
    reply = Reply(body={"id": ID, "polling_url": address})

    error = await failure(instead(is_submit, reply), timeout=0.1)

    assert isinstance(error, OutcomeUnknown)


FLUX2 = {"prompt": "a red bicycle", "seed": 7, "width": 1024, "height": 1024}
FLUX2["output_format"] = "png"
CASES: Sequence[tuple[str, ProviderRequest, dict[str, Any]]] = (
    (PRO, JOB, FLUX2),
    (PRO, edit(), FLUX2 | {"input_image": b64(SQUARE)}),
    (
        PRO,
        replace(JOB, reference_ids=("a", "b"), references=(SQUARE, RED)),
        FLUX2 | {"input_image": b64(SQUARE), "input_image_2": b64(RED)},
    ),
    (KLEIN, JOB, FLUX2),
    (
        FLEX,
        replace(JOB, steps=50, guidance_scale=4.5),
        FLUX2 | {"steps": 50, "guidance": 4.5, "prompt_upsampling": False},
    ),
    (
        FLUX3,
        replace(JOB, bucket="16:9 2k"),
        {
            "prompt": "a red bicycle",
            "aspect_ratio": "16:9",
            "resolution": "2k",
            "grounding": False,
        },
    ),
    (
        FLUX3,
        edit(bucket="1:1 1k", reference_ids=("r",), references=(RED,)),
        {
            "prompt": "a red bicycle",
            "aspect_ratio": "1:1",
            "resolution": "1k",
            "grounding": False,
            "images": [b64(SQUARE), b64(RED)],
        },
    ),
    (
        KONTEXT,
        edit(bucket="1:1"),
        {
            "prompt": "a red bicycle",
            "seed": 7,
            "aspect_ratio": "1:1",
            "input_image": b64(SQUARE),
            "output_format": "png",
            "prompt_upsampling": False,
        },
    ),
    (
        FILL,
        edit("inpaint", steps=50, guidance_scale=60.0),
        {
            "prompt": "a red bicycle",
            "seed": 7,
            "steps": 50,
            "guidance": 60.0,
            "image": b64(SQUARE),
            "mask": b64(convert_mask(left_half(1024, 1024), "white")),
            "output_format": "png",
            "prompt_upsampling": False,
        },
    ),
)
SCHEMAS = {
    PRO: ("bfl", "Flux2Inputs"),
    KLEIN: ("bfl", "Flux2KleinInputs"),
    FILL: ("bfl", "FluxProFillInputs"),
    FLUX3: ("bfl-flux3", "Flux3ImageInputs"),
}


@pytest.mark.parametrize(("id", "request_", "body"), CASES)
async def test_the_body_is_the_models_own(
    id: str, request_: ProviderRequest, body: dict[str, Any]
) -> None:
    with FakeVendor(drawn) as vendor:
        await make(vendor, request_, id)

    assert vendor.asked[0] == f"POST /v1/{id}"
    assert vendor.seen[0].body == body


@pytest.mark.spec
@pytest.mark.parametrize(("id", "request_", "body"), [c for c in CASES if c[0] in SCHEMAS])
async def test_each_body_is_as_the_published_specification_wants(
    id: str, request_: ProviderRequest, body: object
) -> None:
    with FakeVendor(drawn) as vendor:
        await make(vendor, request_, id)

    assert problems(*SCHEMAS[id], vendor.seen[0].body) == []


@pytest.mark.spec
def test_the_fake_answers_as_the_published_specification_wants() -> None:
    def seen(method: str, path: str) -> Seen:
        return Seen(method=method, path=path, headers={"host": "x.test"}, content=b"")

    submitted = started(seen("POST", "/v1/flux-2-pro"), cost=3.0, input_mp=0.0, output_mp=1.05)
    for vendor in ("bfl", "bfl-flux3"):
        assert problems(vendor, "AsyncResponse", submitted.body) == []
    ready = drawn(seen("GET", "/v1/get_result?id=7"))
    assert problems("bfl", "ResultResponse", ready.body) == []
    settled = drawn(seen("GET", "/v1/get_result?id=7"), cost=4.8)
    assert problems("bfl-flux3", "ResultResponse", settled.body) == []
    assert problems("bfl", "CreditsResponse", drawn(seen("GET", "/v1/credits")).body) == []


# What is answered


async def test_whatever_it_says_before_it_is_ready_counts_as_running() -> None:
    said = ["Pending", "Reasoning", "Generating", "Something new"]
    asked = 0

    def script(seen: Seen) -> Reply:
        nonlocal asked
        asked += is_poll(seen)
        waits = is_poll(seen) and asked <= len(said)
        return stands(said[asked - 1], progress=0.5) if waits else drawn(seen)

    with FakeVendor(script) as vendor:
        await make(vendor)

    assert asked == len(said) + 1


@pytest.mark.parametrize(
    ("at_submit", "at_end", "cost"),
    [
        (3.0, 4.5, Cost(micro_usd=45_000, basis="exact")),
        (3.0, 0, Cost(micro_usd=0, basis="exact")),
        (3.0, None, Cost(micro_usd=30_000, basis="exact")),
        (3.0, "four", Cost(micro_usd=30_000, basis="exact")),
        (3.0, -1, Cost(micro_usd=30_000, basis="exact")),
        (None, 4.8, Cost(micro_usd=48_000, basis="exact")),
        (None, None, Cost(micro_usd=30_000, basis="list")),
    ],
)
async def test_what_was_settled_beats_what_was_said_at_first(
    at_submit: float | None, at_end: Any, cost: Cost
) -> None:
    def script(seen: Seen) -> Reply:
        return started(seen, cost=at_submit) if is_submit(seen) else drawn(seen, cost=at_end)

    with FakeVendor(script) as vendor:
        generation = await make(vendor)

    assert generation.cost == cost


@pytest.mark.parametrize(
    ("reply", "kind", "charged"),
    [
        (stands("Request Moderated"), ContentRefused, None),
        (stands("content moderated", cost=3.0), ContentRefused, 30_000),
        (stands("Content Moderated", cost=0), ContentRefused, 0),
        (stands("Error", details={"why": "out of memory"}), EngineCrashed, None),
        (stands("Task not found"), OutcomeUnknown, 0),
    ],
)
async def test_a_job_that_came_to_nothing_says_why(
    reply: Reply, kind: type[ProviderError], charged: int | None
) -> None:
    error = await failure(instead(is_poll, reply))

    assert isinstance(error, kind)
    assert error.charged == charged


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (402, PaymentRequired, "add some on bfl.ai"),
        (403, AuthenticationFailed, "check the key"),
        (422, RequestRejected, "Extra inputs are not permitted"),
        (429, RateLimited, "try again in 10 s"),
    ],
)
async def test_what_is_refused_costs_nothing(
    status: int, kind: type[ProviderError], words: str
) -> None:
    field = {"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "type": "extra"}

    error = await failure(instead(is_submit, Reply(status=status, body={"detail": [field]})))

    assert isinstance(error, kind)
    assert words in str(error)
    assert error.charged == 0


async def test_another_process_can_go_on_with_a_job() -> None:
    with FakeVendor(drawn) as vendor:
        remote = f"{vendor.url}/v1/get_result?id={ID} 4.5"
        tested = provider(vendor.url)
        resolution = await tested.resolve("our-key", remote)
        generation = await tested.collect(remote, JOB, await model(tested, PRO), RUN)
        foreign = await tested.resolve("our-key", "https://evil.test/x 4.5")
        await tested.aclose()

    assert (resolution.state, foreign.state) == ("finished", "unknowable")
    assert generation.cost == Cost(micro_usd=45_000, basis="exact")


async def test_a_job_cannot_be_stopped() -> None:
    with FakeVendor(drawn) as vendor:
        tested = provider(vendor.url)
        outcome = await tested.cancel(f"{vendor.url}/v1/get_result?id={ID}")
        await tested.aclose()

    assert outcome.state == "unsupported"
    assert vendor.asked == []


async def test_the_balance_is_told_in_credits_of_a_cent() -> None:
    with FakeVendor(drawn) as vendor:
        tested = provider(vendor.url)
        balance = await tested.balance()
        await tested.aclose()

    assert balance is not None
    assert balance.micro_usd == 125_000


async def test_the_user_can_describe_a_model() -> None:
    row = {
        "priceUsd": 0.009,
        "inputs": {"prompt": "prompt", "width": "width", "height": "height", "seed": "seed"},
        "always": {"output_format": "png"},
    }

    with FakeVendor(drawn) as vendor:
        await make(vendor, id="flux-3-image-klein", models={"flux-3-image-klein": row})

    assert vendor.asked[0] == "POST /v1/flux-3-image-klein"
    assert vendor.seen[0].body == FLUX2


# What every provider does


class TestConformance(ProviderConformance):
    provider_type = Hasty
    secrets: ClassVar[Mapping[str, str]] = {"BFL_API_KEY": KEY}
    refusals = (
        (Reply(status=402, body={"detail": "Insufficient credits"}), PaymentRequired),
        (Reply(status=429, body={"detail": "Too many"}), RateLimited),
        (stands("Request Moderated"), ContentRefused),
    )
    costs = (
        stands("Ready", cost=3.0, result={"sample": "{origin}/made.png"}),
        stands("Ready", cost=None, result={"sample": "{origin}/made.png"}),
    )

    def reply(self, seen: Seen) -> Reply:
        return drawn(seen)

    def gets(self, seen: Seen, reply: Reply) -> bool:
        return is_poll(seen) if reply.status == 200 else is_submit(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        """Two that differ in tasks and options; of all the bodies are compared."""
        return [m for m in await provider.list_models() if m.id in (FLEX, FILL)]
