from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.specs import problems, read
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    Control,
    Cost,
    FreeSize,
    Generation,
    Model,
    OutcomeUnknown,
    PaymentRequired,
    Provider,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderUnavailable,
    RateLimited,
    RemoteJob,
    RequestRejected,
    Run,
    SameAsInput,
    Submission,
    Task,
    options_of,
)
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.sizes import Size, is_exact, nearest_size
from ziggie_image_mcp.provider.testing import FakeVendor, ProviderConformance, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_providers.stability import Row, Stability

KEY = "sk-0123456789abcdef0123456789abcdef"
ID = "c7e1f0a2b3d4c5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e"
CORE = "stable-image-core"
ULTRA = "stable-image-ultra"
LARGE = "sd3.5-large"
FLASH = "sd3.5-flash"
INPAINT = "stable-image-inpaint"
FAST = "stable-image-upscale-fast"
CREATIVE = "stable-image-upscale-creative"
SKETCH = "stable-image-control-sketch"
STYLE = "stable-image-control-style"
CUT_OUT = "stable-image-remove-background"
ROWS: Mapping[str, Any] = Stability.table
JOB = ProviderRequest(prompt="a red bicycle", width=1024, height=1024, bucket="1:1", seed=7)

Script = Callable[[Seen], Reply]


class Hasty(Stability):
    """Asks again at once."""

    first_pause = longest_pause = 0.001


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


# Stability, by its published specification


def error(status: int, name: str, words: str = "No.") -> Reply:
    return Reply(status=status, body={"id": ID[:32], "name": name, "errors": [words]})


def drawn(seen: Seen) -> Reply:
    """Each answer when all goes well."""
    if seen.path == "/v1/user/balance":
        return Reply(body={"credits": 12.5})
    if seen.method == "POST" and seen.path.endswith("/creative"):
        return Reply(body={"id": ID})
    seed = int(str(seen.form.get("seed", 343940597))) if seen.method == "POST" else 7
    image = base64.b64encode(picture()).decode()
    return Reply(body={"image": image, "seed": seed, "finish_reason": "SUCCESS"})


def instead(applies: Callable[[Seen], bool], reply: Reply) -> Script:
    return lambda seen: reply if applies(seen) else drawn(seen)


def is_submit(seen: Seen) -> bool:
    return seen.method == "POST"


def is_result(seen: Seen) -> bool:
    return seen.path.startswith("/v2beta/stable-image/upscale/creative/result/")


# A provider, and what it is asked


def provider(url: str = "http://127.0.0.1:9", key: str | None = KEY, **section: Any) -> Stability:
    async def secret(asked: str) -> str | None:
        return key if asked == "STABILITY_API_KEY" else None

    settings = Stability.Settings.model_validate({"baseUrl": url, "local": False, **section})
    return Hasty("stability", settings, ProviderContext(data_dir=Path("unused"), secret=secret))


async def model(tested: Provider, id: str) -> Model:
    return next(m for m in await tested.list_models() if m.id == id)


def edit(task: Task = "image_to_image", side: int = 1024, **changes: Any) -> ProviderRequest:
    image: dict[str, Any] = {"image_id": "i", "image": picture(side, side)}
    if task == "inpaint":
        image |= {"mask_id": "m", "mask": left_half(side, side)}
    return replace(JOB, **{"task": task, "width": side, "height": side, **image, **changes})


async def make(vendor: FakeVendor, id: str = CORE, request: ProviderRequest = JOB) -> Generation:
    tested = provider(vendor.url)
    try:
        listed = await model(tested, id)
        submission: Submission = await tested.submit(request, listed, RUN)
        if isinstance(submission, RemoteJob):
            return await tested.collect(submission.id, request, listed, RUN)
        return submission
    finally:
        await tested.aclose()


def guided(kind: str, weight: float = 0.7, *, compute: bool = False) -> ProviderRequest:
    item = Control(kind=kind, image_id="c", weight=weight, compute=compute, image=picture())
    return replace(JOB, control=(item,))


Form = dict[str, Any]
"""Text or a file by the name of its field."""

T2I: Form = {"prompt": "a red bicycle", "seed": "7", "output_format": "png"}
SD35: Form = T2I | {"model": LARGE, "cfg_scale": "4.0"}
BODIES: Sequence[tuple[str, ProviderRequest, str, Form]] = (
    (
        CORE,
        replace(JOB, negative_prompt="blurry", bucket="16:9"),
        "generate/core",
        T2I | {"negative_prompt": "blurry", "aspect_ratio": "16:9"},
    ),
    (
        ULTRA,
        edit(strength=0.6),
        "generate/ultra",
        T2I | {"aspect_ratio": "1:1", "strength": "0.6", "image": picture(1024, 1024)},
    ),
    (
        LARGE,
        replace(JOB, guidance_scale=4.0),
        "generate/sd3",
        SD35 | {"mode": "text-to-image", "aspect_ratio": "1:1"},
    ),
    (
        LARGE,
        edit(strength=0.6, guidance_scale=4.0),
        "generate/sd3",
        SD35 | {"mode": "image-to-image", "strength": "0.6", "image": picture(1024, 1024)},
    ),
    (
        INPAINT,
        edit("inpaint"),
        "edit/inpaint",
        T2I | {"image": picture(1024, 1024), "mask": convert_mask(left_half(1024, 1024), "white")},
    ),
    (
        CUT_OUT,
        edit("remove_background"),
        "edit/remove-background",
        {"image": picture(1024, 1024), "output_format": "png"},
    ),
    (
        FAST,
        edit("upscale", 64, factor=4),
        "upscale/fast",
        {"image": picture(64, 64), "output_format": "png"},
    ),
    (
        "stable-image-upscale-conservative",
        edit("upscale", 512, factor=2),
        "upscale/conservative",
        T2I | {"prompt": "a sharp, detailed picture", "image": picture(512, 512)},
    ),
    (
        CREATIVE,
        edit("upscale", 512, factor=4),
        "upscale/creative",
        T2I | {"prompt": "a sharp, detailed picture", "image": picture(512, 512)},
    ),
)
GUIDED: Sequence[tuple[str, ProviderRequest, str, Form]] = (
    (SKETCH, guided("scribble"), "control/sketch", {"control_strength": "0.7"}),
    (
        "stable-image-control-structure",
        guided("structure", compute=True),
        "control/structure",
        {"control_strength": "0.7"},
    ),
    (
        STYLE,
        guided("style", compute=True),
        "control/style",
        {"fidelity": "0.7", "aspect_ratio": "1:1"},
    ),
)


# What it offers


async def test_it_lists_its_table_without_asking_anybody() -> None:
    listed = await provider().list_models()

    assert [m.id for m in listed] == list(ROWS)
    assert {m.where for m in listed} == {"vendor"}


async def test_without_a_key_it_says_how_to_set_one() -> None:
    with pytest.raises(AuthenticationFailed, match="keys set STABILITY_API_KEY"):
        await provider(key=None).list_models()


@pytest.mark.parametrize(
    ("id", "usd"),
    [
        (CORE, 0.03),
        (ULTRA, 0.08),
        (LARGE, 0.065),
        ("sd3.5-large-turbo", 0.04),
        ("sd3.5-medium", 0.035),
        (FLASH, 0.025),
        (INPAINT, 0.05),
        (CUT_OUT, 0.05),
        (FAST, 0.02),
        ("stable-image-upscale-conservative", 0.40),
        (CREATIVE, 0.60),
        (SKETCH, 0.05),
    ],
)
async def test_a_picture_costs_its_credits(id: str, usd: float) -> None:
    tested = provider()
    listed = await model(tested, id)

    estimate = tested.estimate(replace(JOB, task=next(iter(listed.tasks))), listed)

    assert estimate is not None
    assert (estimate.expected, estimate.upper) == (round(usd * 1e6), round(usd * 1e6))
    assert ROWS[id].as_of == date(2026, 11, 28)
    assert f"{usd * 100:g} credits" in ROWS[id].source


async def test_what_a_model_does_stands_in_its_row() -> None:
    listed = {m.id: m for m in await provider().list_models()}

    assert options_of(listed[CORE], "text_to_image") == {"negative_prompt", "seed"}
    assert "strength" in options_of(listed[LARGE], "image_to_image")
    assert "strength" not in options_of(listed[LARGE], "text_to_image")
    assert listed[FLASH].defaults.guidance_scale == 1
    assert listed[INPAINT].tasks["inpaint"].mask == "white"
    assert listed[FAST].tasks["upscale"].factors == (4,)
    assert isinstance(listed[CUT_OUT].tasks["remove_background"].sizes, SameAsInput)
    control = listed[SKETCH].tasks["text_to_image"].control
    assert control is not None
    assert (control.required, "scribble" in control.kinds) == (True, True)


async def test_only_what_keeps_the_size_is_held_to_it() -> None:
    listed = {m.id: m for m in await provider().list_models()}

    exact = {m.id for m in listed.values() if all(is_exact(a.sizes) for a in m.tasks.values())}

    guided_by_shape = {SKETCH, "stable-image-control-structure"}
    assert exact == {CUT_OUT, FAST, *guided_by_shape}


async def test_a_small_picture_is_enlarged_before_an_edit_that_gives_four_megapixels() -> None:
    rule = (await model(provider(), INPAINT)).tasks["inpaint"].sizes

    assert isinstance(rule, FreeSize)
    assert nearest_size(rule, 512, 512) == Size(1024, 1024)


# What it sends


@pytest.mark.parametrize(("id", "request_", "path", "body"), BODIES)
async def test_the_form_is_the_models_own(
    id: str, request_: ProviderRequest, path: str, body: Form
) -> None:
    with FakeVendor(drawn) as vendor:
        generation = await make(vendor, id, request_)

    post = vendor.seen[0]
    assert (post.method, post.path) == ("POST", f"/v2beta/stable-image/{path}")
    assert post.is_form
    assert post.form == body
    assert post.headers["accept"] == "application/json"
    assert post.headers["authorization"] == f"Bearer {KEY}"
    assert generation.cost.basis == "list"


@pytest.mark.parametrize(("id", "request_", "path", "body"), GUIDED)
async def test_a_control_picture_is_the_image_of_the_form(
    id: str, request_: ProviderRequest, path: str, body: Form
) -> None:
    with FakeVendor(drawn) as vendor:
        await make(vendor, id, request_)

    assert vendor.seen[0].path == f"/v2beta/stable-image/{path}"
    assert vendor.seen[0].form == T2I | {"image": picture()} | body


@pytest.mark.spec
@pytest.mark.parametrize(("id", "request_", "path", "body"), BODIES)
async def test_each_form_is_as_the_published_specification_wants(
    id: str, request_: ProviderRequest, path: str, body: object
) -> None:
    with FakeVendor(drawn) as vendor:
        await make(vendor, id, request_)

    at = f"/v2beta/stable-image/{path}".replace("/", "~1")
    assert problems("stability", f"/paths/{at}/schema", vendor.seen[0]) == []


@pytest.mark.spec
def test_prices_are_those_of_the_published_specification() -> None:
    paths = read("stability")["paths"]

    for id, row in ROWS.items():
        if "control" in id:
            continue  # not in the specification
        credits: Any = paths[f"/{row.path}"]["x-credits"]
        price = credits[id] if "sd3" in row.path else credits
        assert row.rates[0].micro_usd == price * 10_000


@pytest.mark.spec
def test_the_fake_answers_as_the_published_specification_wants() -> None:
    def seen(method: str, path: str) -> Seen:
        return Seen(method=method, path=path, headers={"content-type": ""}, content=b"")

    started = seen("POST", "/v2beta/stable-image/upscale/creative")
    assert problems("stability", "Started", drawn(started).body) == []
    assert (
        problems(
            "stability",
            "ImageJson",
            drawn(seen("GET", f"/v2beta/stable-image/upscale/creative/result/{ID}")).body,
        )
        == []
    )
    assert problems("stability", "Error", error(429, "rate_limit_exceeded").body) == []


async def test_a_seed_of_0_is_any_seed_and_the_answer_tells_which() -> None:
    with FakeVendor(drawn) as vendor:
        generation = await make(vendor, request=replace(JOB, seed=0))

    assert "seed" not in vendor.seen[0].form
    assert generation.images[0].seed == 343940597


async def test_a_form_above_ten_mebibytes_is_not_sent() -> None:
    noise = picture(1024, 1024) + bytes(10 * 2**20)

    with FakeVendor(drawn) as vendor, pytest.raises(RequestRejected, match="10 MiB"):
        await make(vendor, ULTRA, edit(image=noise, strength=0.5))

    assert vendor.seen == []


# What is answered


async def test_an_upscale_that_takes_long_is_asked_after_until_it_is_there() -> None:
    asked = 0

    def script(seen: Seen) -> Reply:
        nonlocal asked
        asked += is_result(seen)
        waits = is_result(seen) and asked < 3
        return Reply(status=202, body={"id": ID, "status": "in-progress"}) if waits else drawn(seen)

    with FakeVendor(script) as vendor:
        generation = await make(vendor, CREATIVE, edit("upscale", 512, factor=4))

    assert vendor.asked == [
        "POST /v2beta/stable-image/upscale/creative",
        *[f"GET /v2beta/stable-image/upscale/creative/result/{ID}"] * 3,
    ]
    assert {seen.headers["accept"] for seen in vendor.seen} == {"application/json"}
    assert generation.cost == Cost(micro_usd=600_000, basis="list")


async def test_another_process_can_go_on_with_an_upscale() -> None:
    with FakeVendor(drawn) as vendor:
        tested = provider(vendor.url)
        resolution = await tested.resolve("our-key", ID)
        await tested.aclose()

    assert (resolution.state, resolution.remote_id) == ("finished", ID)


async def test_a_result_that_is_gone_is_an_unknown_outcome() -> None:
    gone = error(404, "generation_not_found", "id: the generation has expired.")

    with FakeVendor(instead(is_result, gone)) as vendor, pytest.raises(OutcomeUnknown):
        await make(vendor, CREATIVE, edit("upscale", 512, factor=4))

    assert len(vendor.asked) == 4


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (error(402, "payment_required", "You lack sufficient credits"), PaymentRequired, "credits"),
        (error(403, "content_moderation", "denied"), ContentRefused, "charges nothing"),
        (error(403, "forbidden"), AuthenticationFailed, "check the key"),
        (error(413, "payload_too_large"), RequestRejected, "refused the request"),
        (error(422, "invalid_language", "English only"), RequestRejected, "translate the prompt"),
        (error(422, "public_figure"), ContentRefused, "public figure"),
        (error(422, "other"), RequestRejected, "refused the request"),
        (error(429, "rate_limit_exceeded"), RateLimited, "try again in 60 s"),
    ],
)
async def test_what_is_refused_costs_nothing(
    reply: Reply, kind: type[ProviderError], words: str
) -> None:
    with FakeVendor(instead(is_submit, reply)) as vendor, pytest.raises(kind) as caught:
        await make(vendor)

    assert words in str(caught.value)
    assert caught.value.charged == 0


async def test_a_blurred_picture_is_a_refusal_that_may_have_cost() -> None:
    body = {"image": "AAAA", "seed": 1, "finish_reason": "CONTENT_FILTERED"}
    blurred = instead(is_submit, Reply(body=body))

    with FakeVendor(blurred) as vendor, pytest.raises(ContentRefused, match="blurred") as caught:
        await make(vendor)

    assert caught.value.charged is None


async def test_the_balance_is_told_in_credits_of_a_cent() -> None:
    with FakeVendor(drawn) as vendor:
        tested = provider(vendor.url)
        balance = await tested.balance()
        await tested.aclose()

    assert balance is not None
    assert balance.micro_usd == 125_000


async def test_a_balance_in_other_words_is_not_told() -> None:
    with FakeVendor(lambda seen: Reply(body={"credits": "many"})) as vendor:
        tested = provider(vendor.url)
        with pytest.raises(ProviderUnavailable, match="does not tell what is left"):
            await tested.balance()
        await tested.aclose()


def test_the_user_can_describe_a_model() -> None:
    row = {"path": "v2beta/stable-image/generate/next", "priceUsd": 0.1, "polled": True}

    settings = Stability.Settings.model_validate({"models": {"stable-image-next": row}})

    assert settings.models["stable-image-next"] == Row.model_validate(row)


# What every provider does


class TestConformance(ProviderConformance):
    provider_type = Hasty
    secrets: ClassVar[Mapping[str, str]] = {"STABILITY_API_KEY": KEY}
    refusals = (
        (error(402, "payment_required"), PaymentRequired),
        (error(403, "content_moderation"), ContentRefused),
        (error(429, "rate_limit_exceeded"), RateLimited),
    )

    def reply(self, seen: Seen) -> Reply:
        return drawn(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        """Four that differ in tasks, options and delivery; of all the forms are compared."""
        listed = await provider.list_models()
        return [m for m in listed if m.id in (FLASH, INPAINT, CREATIVE, CUT_OUT)]
