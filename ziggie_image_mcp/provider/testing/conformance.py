"""A suite that any provider runs, by saying how its backend answers.

    class TestAcme(ProviderConformance):
        provider_type = Acme
        secrets = {"ACME_API_KEY": "acme-0123456789abcdef"}

        def reply(self, seen: Seen) -> Reply:
            return Reply(body={"images": [base64.b64encode(picture()).decode()]})

pytest collects it, without a plugin. Each check runs against a vendor on a loopback port.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
import threading
import time
import unittest
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import anyio
import httpx2

from ziggie_image_mcp.errors import OutcomeUnknown, ProviderError
from ziggie_image_mcp.provider.addresses import is_loopback, where_is
from ziggie_image_mcp.provider.bulkhead import (
    BALANCE,
    GENERATION,
    MODEL,
    PROBE,
    RESOLUTION,
    Answer,
)
from ziggie_image_mcp.provider.capabilities import Option, SameAsInput, Task
from ziggie_image_mcp.provider.contract import (
    CANCEL_SECONDS,
    CONTRACT,
    PROBE_SECONDS,
    Provider,
    ProviderContext,
    ProviderInfo,
    ScansFolders,
)
from ziggie_image_mcp.provider.nouns import (
    CancelOutcome,
    Generation,
    Model,
    Probe,
    ProviderRequest,
    RemoteJob,
    Resolution,
    is_present,
)
from ziggie_image_mcp.provider.pricing import FREE, Estimate, estimate, is_free
from ziggie_image_mcp.provider.settings import HttpSettings
from ziggie_image_mcp.provider.sizes import corners, native_size, problem
from ziggie_image_mcp.provider.testing.fake_vendor import FakeVendor, Reply, Seen
from ziggie_image_mcp.provider.testing.rig import (
    IMAGE_TASKS,
    KEY,
    MASK_TASKS,
    OPTION_VALUES,
    PROMPT,
    Rig,
    addresses_in,
    always,
    at_origin,
    body_of,
    canvas,
    captured_logs,
    chain,
    closed_port,
    decoded,
    fields_of,
    halves,
    nth,
    replaced,
    request_for,
    sizes_in,
)

NAME = "tested"
TOLERANCE = 0.5
"""What a slow machine may add to 2 seconds."""
SLACK = 16 * 2**20
"""What lies in the buffers of two sockets when the reader of an endless answer gives up."""
PATIENCE = 120.0
"""How long anything may take that is not about time, seconds."""

HANG = Reply(then="hang")
GARBAGE = Reply(body=b"<html>It works!</html>", headers={"content-type": "text/html"})
FAILURES: Mapping[str, Reply] = {
    "the connection was reset before the answer": Reply(then="reset"),
    "the connection was reset in the middle of the answer": Reply(body={"a": 1}, then="cut"),
    "no answer came until the timeout": HANG,
    "the answer was HTTP 500": Reply(status=500, body={"error": {"message": "internal error"}}),
    "the answer was HTTP 200 with a page of HTML": GARBAGE,
}

T = TypeVar("T")


class ProviderConformance:
    """What every provider does. Subclass it as `TestName`, and say what is yours.

    Must be given: `provider_type` and `reply`. Mostly given: `settings`, `secrets`, `refusals`,
    `costs`. The rest is for backends that are unlike the usual.
    """

    provider_type: ClassVar[Any]
    """The class of the provider."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """Its section as in config.json. The suite adds `baseUrl`, and `local: false` where the
    provider's usual address is a vendor's."""
    base_path: ClassVar[str] = ""
    """What stands in the base URL behind the host, as /v1."""
    secrets: ClassVar[Mapping[str, str]] = {}
    """Keys by their variable."""
    refusals: ClassVar[Sequence[tuple[Reply, type[ProviderError]]]] = ()
    """Recorded failing answers, those behind a 200 included, each with the error that it is.
    ORIGIN in them, and in `costs`, stands for the vendor's address."""
    costs: ClassVar[Sequence[Reply]] = ()
    """More recorded good answers, whose cost must be within the estimate."""
    option_values: ClassVar[Mapping[Option, tuple[Any, Any]]] = {}
    """Two values for each option, where the usual ones are not the backend's."""
    speaks_http: ClassVar[bool] = True
    """False for engines in this process: what is about HTTP is skipped. They override `rig` and
    `observed`, and `observed_mask` where they take masks."""
    counts_pictures: ClassVar[bool] = True
    """False where `reply` gives not as many pictures as were asked for."""
    lists_by_post: ClassVar[bool] = False
    """True where the API has no GET at all: then listing may POST, but nothing that is_submit."""
    charges_for_500: ClassVar[bool] = True
    """False where the vendor promises that nothing is charged for an HTTP 500."""
    max_answer_bytes: ClassVar[int] = 2**20
    """Given to the provider as the most that it may read. More than any recorded answer."""

    # What a provider's author says

    def reply(self, seen: Seen) -> Reply:
        """The recorded good answer to any request. Must be overridden where HTTP is spoken."""
        raise NotImplementedError

    def is_submit(self, seen: Seen) -> bool:
        """Whether a request asks for a picture, and may cost. Overridden where others POST too."""
        return seen.method == "POST"

    def gets(self, seen: Seen, reply: Reply) -> bool:
        """Whether a request is the one that gets this answer of `refusals` or `costs`.

        Overridden where some are the answer to a poll.
        """
        return self.is_submit(seen)

    def wire(self, seen: Seen) -> object:
        """What of a request is compared. Overridden to leave out what differs each time."""
        return seen.path, body_of(seen)

    def mask_of(self, seen: Seen) -> bytes | None:
        """The mask of a request, as it went out; None where it has none. Sometimes overridden."""
        fields = fields_of(seen)
        return decoded(fields.get("mask") or fields.get("mask_image"))

    def size_of(self, seen: Seen) -> tuple[int, int] | None:
        """Width and height of a request, as they went out; None where it names no pixels.

        Found in fields called width and height, and in a size as 64x64. Sometimes overridden.
        """
        return sizes_in(fields_of(seen))

    async def models(self, provider: Provider) -> Sequence[Model]:
        """The models that are tried: all that are present. Overridden where those are too many."""
        listed = await provider.list_models()
        return [m for m in listed if is_present(m) and m.role == "model"]

    def request(self, model: Model, task: Task, **changes: Any) -> ProviderRequest:
        """A request of a task. Overridden where the usual one asks for what the backend lacks."""
        return request_for(model, task, {**OPTION_VALUES, **self.option_values}, **changes)

    def section(self, url: str, timeout: float | None = None) -> Mapping[str, Any]:
        """The provider's section of config.json. Overridden where it has no `baseUrl`."""
        fields: Mapping[str, Any] = self.provider_type.Settings.model_fields
        section = {"baseUrl": url + self.base_path, **self.settings}
        home = fields["base_url"].default if "base_url" in fields else None
        if "local" in fields and isinstance(home, str) and not is_loopback(home):
            section.setdefault("local", False)
        if timeout is not None and "timeout" in fields:
            section["timeout"] = timeout
        return section

    def build(
        self, url: str, data_dir: Path, *, timeout: float | None = None, **section: Any
    ) -> Provider:
        """A provider whose backend is at this address."""

        async def secret(name: str) -> str | None:
            return self.secrets.get(name)

        async def resolver(host: str) -> Sequence[str]:
            return ["10.0.0.1"]

        settings = self.provider_type.Settings.model_validate(
            {**self.section(url, timeout), **section}
        )
        context = ProviderContext(
            data_dir=data_dir,
            timeout=timeout,
            secret=secret,
            resolver=resolver,
            max_answer_bytes=self.max_answer_bytes,
        )
        provider: Provider = self.provider_type(NAME, settings, context)
        return provider

    def rig(
        self, *, timeout: float | None = None, **section: Any
    ) -> AbstractAsyncContextManager[Rig]:
        """A provider and its backend. Overridden by engines that do not speak HTTP.

        Args:
            timeout: Seconds after which the provider gives up.
            section: More of its section of config.json.
        """
        return self._http_rig(timeout, section)

    @asynccontextmanager
    async def _http_rig(
        self, seconds: float | None, section: Mapping[str, Any]
    ) -> AsyncGenerator[Rig]:
        with tempfile.TemporaryDirectory() as folder, FakeVendor(self.reply) as vendor:
            provider = self.build(vendor.url, Path(folder), timeout=seconds, **section)
            try:
                yield Rig(provider=provider, vendor=vendor)
            finally:
                await self._closed(provider)
                if vendor.failures:
                    raise AssertionError("reply() of this suite failed") from vendor.failures[0]

    async def observed(self, rig: Rig, request: ProviderRequest, model: Model) -> object:
        """What one request comes to at the backend. Overridden where HTTP is not spoken."""
        start = len(rig.seen)
        await self.make(rig, request, model)
        return [self.wire(seen) for seen in rig.seen[start:] if self.is_submit(seen)]

    async def observed_mask(self, rig: Rig, request: ProviderRequest, model: Model) -> bytes | None:
        """The mask that one request sends. Overridden where HTTP is not spoken."""
        start = len(rig.seen)
        await self.make(rig, request, model)
        masks = (self.mask_of(seen) for seen in rig.seen[start:])
        return next((mask for mask in masks if mask is not None), None)

    async def make(self, rig: Rig, request: ProviderRequest, model: Model) -> Generation:
        """Submit, and collect where there is something to be collected."""
        submission = await rig.provider.submit(request, model, rig.run)
        if isinstance(submission, RemoteJob):
            return await rig.provider.collect(submission.id, request, model, rig.run)
        return submission

    # The checks

    def test_it_says_what_it_is(self) -> None:
        """The class carries the contract's number, what is known of it, and its settings."""
        kind = self.provider_type
        assert kind.contract == CONTRACT, f"contract is {kind.contract!r}, not {CONTRACT}"
        assert isinstance(kind.info, ProviderInfo), "info is no ProviderInfo"
        assert kind.info.summary, "info.summary is empty"
        extra = kind.Settings.model_config.get("extra")
        assert extra == "forbid", "Settings lets unknown keys pass: set extra='forbid'"

    def test_nothing_is_opened_when_it_is_built(self) -> None:
        """Construction asks nobody, starts nothing, and writes no file."""
        self._needs_http()
        with tempfile.TemporaryDirectory() as folder, FakeVendor(self.reply) as vendor:
            threads = set(threading.enumerate())
            provider = self.build(vendor.url, Path(folder))
            time.sleep(0.05)
            assert provider.name == NAME, f"its name is {provider.name!r}, not what it was given"
            assert not vendor.connections, (
                "__init__ connects to the backend; do it with the first call"
            )
            started = [t for t in threading.enumerate() if t not in threads and t.is_alive()]
            assert not started, "__init__ starts a thread; start it with the first call"
            assert not list(Path(folder).iterdir()), "__init__ writes into data_dir"
            anyio.run(provider.aclose)

    def test_listing_sends_no_post_and_gives_models_that_make_sense(self) -> None:
        """What is listed costs nothing to ask, and is complete."""

        async def check(rig: Rig) -> None:
            models = await rig.provider.list_models()
            posts = [f"{s.method} {s.path}" for s in rig.seen if self._is_costly(s)]
            assert not posts, f"list_models sent {posts[0]}: listing may only GET"
            ids = [model.id for model in models]
            twice = sorted({id for id in ids if ids.count(id) > 1})
            assert not twice, f"list_models lists {twice[0]!r} twice"
            assert await self.models(rig.provider), "no model is present: nothing can be tested"
            for model in models:
                self._check_model(model)

        self._in_rig(check)

    def test_a_folder_that_it_scans_is_named_by_a_setting_and_lists_models(self) -> None:
        """Who looks into folders has a setting for them, and lists by the contract."""

        async def check(rig: Rig) -> None:
            provider = rig.provider
            if not isinstance(provider, ScansFolders):
                return
            aliases = {
                f.alias or name for name, f in self.provider_type.Settings.model_fields.items()
            }
            assert provider.folders_key in aliases, f"no setting is called {provider.folders_key}"
            with tempfile.TemporaryDirectory() as folder:
                assert not await provider.scan(Path(folder)), "an empty folder holds no models"
                await anyio.Path(folder, "x.safetensors").write_bytes(b"0")
                for model in await provider.scan(Path(folder)):
                    self._check_model(model)

        self._in_rig(check)

    def test_a_listing_that_fails_raises_a_provider_error(self) -> None:
        """Whatever the backend answers, list_models lists, or raises a ProviderError."""

        async def check(rig: Rig) -> None:
            for what, reply in FAILURES.items():
                rig.http.script = always(reply)
                await self._outcome(f"list_models, when {what},", rig.provider.list_models())

        self._needs_http()
        self._in_rig(check, timeout=0.4)

    def test_prompt_size_and_count_reach_the_wire(self) -> None:
        """Two prompts, two sizes, two numbers of pictures are two different requests."""

        async def check(rig: Rig) -> None:
            for model, task in await self._cases(rig):
                able, where = model.tasks[task], f"{model.id}, {task}"
                plain = await self._observed(rig, where, model, task)
                if task not in ("upscale", "remove_background"):
                    other = await self._observed(rig, where, model, task, prompt="a blue one")
                    assert plain != other, f"{where}: the prompt does not reach the backend"
                    if self.speaks_http:
                        assert PROMPT in str(plain), f"{where}: the prompt does not go out whole"
                if able.max_images > 1:
                    counts = sorted({2, able.max_images})
                    wires = [plain] + [
                        await self._observed(rig, where, model, task, num_images=n) for n in counts
                    ]
                    distinct = all(wires.count(wire) == 1 for wire in wires)
                    assert distinct, f"{where}: num_images does not reach the backend"
                if task in IMAGE_TASKS:
                    size = native_size(able.sizes)
                    other = await self._observed(
                        rig, where, model, task, image=canvas(*size, "crimson")
                    )
                    assert plain != other, f"{where}: the image does not reach the backend"
                if len(able.factors) > 1:
                    other = await self._observed(rig, where, model, task, factor=able.factors[1])
                    assert plain != other, f"{where}: factor does not reach the backend"
                if able.max_references:
                    picture = {
                        "reference_ids": ("img_ref",),
                        "references": (canvas(64, 64, "red"),),
                    }
                    other = await self._observed(rig, where, model, task, **picture)
                    assert plain != other, f"{where}: references do not reach the backend"

        self._in_rig(check)

    def test_sizes_at_the_corners_of_the_rule_are_sent(self) -> None:
        """What the size rule allows is accepted, and each size is a request of its own."""

        async def check(rig: Rig) -> None:
            for model, task in await self._cases(rig):
                rule = model.tasks[task].sizes
                if isinstance(rule, SameAsInput):
                    continue
                sent: dict[str, object] = {}
                for size in corners(rule):
                    where = f"{model.id}, {task}, {size}"
                    observed = await self._observed(rig, where, model, task, size=size)
                    same = next((s for s, other in sent.items() if other == observed), None)
                    assert same is None, f"{where}: the same goes out as for {same}"
                    sent[str(size)] = observed
                    submits = [s for s in rig.seen if self.is_submit(s)] if rig.vendor else []
                    pixels = self.size_of(submits[-1]) if submits else None
                    assert pixels in (None, tuple(size)), f"{where}: {pixels} goes out"

        self._in_rig(check)

    def test_every_declared_option_reaches_the_wire_and_no_other(self) -> None:
        """Two values of a declared option are two requests; an undeclared one changes nothing."""
        values = {**OPTION_VALUES, **self.option_values}

        async def check(rig: Rig) -> None:
            options: tuple[Option, ...] = get_args(Option)
            for model, task in await self._cases(rig):
                for option in options:
                    where = f"{model.id}, {task}, {option}"
                    small = min(corners(model.tasks[task].sizes))  # quickly drawn
                    wires = [
                        await self._observed(rig, where, model, task, size=small, **{option: value})
                        for value in values[option]
                    ]
                    if option in model.tasks[task].options:
                        assert wires[0] != wires[1], f"{where}: is declared, and does not go out"
                    else:
                        assert wires[0] == wires[1], f"{where}: goes out, and is not declared"

        self._in_rig(check)

    def test_masks_go_out_in_the_declared_polarity(self) -> None:
        """Of a mask whose left half is painted anew, the left half is what the backend paints."""

        async def check(rig: Rig) -> None:
            for model, task in await self._cases(rig):
                polarity = model.tasks[task].mask
                if task not in MASK_TASKS or polarity is None:
                    continue
                where = f"{model.id}, {task}"
                mask = await self.observed_mask(rig, self.request(model, task), model)
                assert mask is not None, f"{where}: no mask went out, or mask_of() does not find it"
                assert halves(mask, polarity) == (True, False), (
                    f"{where}: the mask that went out does not paint the left half anew, read as"
                    f" {polarity}: convert it with masks.convert_mask"
                )

        self._in_rig(check)

    def test_a_cancelled_request_ends_within_two_seconds_and_is_sent_once(self) -> None:
        """Wherever the backend stalls, cancelling ends at once, and so does cancel()."""

        async def check(model: Model, task: Task, stage: int) -> None:
            async with self.rig() as rig:
                await self.models(rig.provider)
                start = len(rig.seen)
                remote_id = await self._cancelled(rig, model, task, stage)
                posts = [seen for seen in rig.seen[start:] if self.is_submit(seen)]
                assert len(posts) <= 1, (
                    f"{model.id}: a cancelled request was sent {len(posts)} times"
                )
                if rig.vendor is not None:
                    rig.vendor.script = always(HANG)
                started = time.monotonic()
                try:
                    with anyio.fail_after(CANCEL_SECONDS + TOLERANCE):
                        outcome = await rig.provider.cancel(remote_id or "unknown")
                except Exception as e:
                    spent = time.monotonic() - started
                    what = f"cancel() raised {type(e).__name__} after {spent:.1f} s"
                    raise AssertionError(f"{what}: it never raises, and ends within 2 s") from e
                assert isinstance(outcome, CancelOutcome), "cancel() gives no CancelOutcome"
                if rig.vendor is not None:
                    assert outcome.state != "stopped", (
                        "cancel() says stopped, and the backend did not answer"
                    )
                    rig.vendor.script = self.reply
                    start = len(rig.seen)
                    outcome = await rig.provider.cancel(remote_id or "unknown")
                    asked = len(rig.seen) > start
                    assert asked or outcome.state != "stopped", (
                        "cancel() says stopped, and asked nobody: unsupported is the word"
                    )

        self._at_each_stage(check)

    def test_a_request_is_sent_once_whatever_fails(self) -> None:
        """Six failures of the network: one POST at most, and the money is classified."""

        async def check() -> None:
            async with self.rig(timeout=0.4) as rig:
                for model, task in await self._samples(rig):
                    for what, reply in FAILURES.items():
                        where = f"{model.id}, {task}: {what}"
                        rig.http.script = self._instead(reply, self.is_submit)
                        start = len(rig.seen)
                        error = await self._error(where, rig, model, task)
                        posts = sum(self.is_submit(seen) for seen in rig.seen[start:])
                        assert posts == 1, f"{where}: it was sent {posts} times, not once"
                        if reply.status == 500 and not self.charges_for_500:
                            continue
                        known = error.charged == 0 and not isinstance(error, OutcomeUnknown)
                        assert is_free(model.prices) or not known, (
                            f"{where}: {type(error).__name__} says that nothing was charged, and"
                            " nobody knows: raise OutcomeUnknown"
                        )
                    await self._refused_connection(model, task)

        self._needs_http()
        self._run(check)

    def test_what_it_costs_is_within_the_estimate(self) -> None:
        """The upper bound holds for every answer, and a paid picture never costs nothing."""

        async def check(rig: Rig) -> None:
            for model, task in await self._cases(rig):
                start = len(rig.seen)
                for request in self._variants(model, task):
                    self._check_estimate(rig.provider, request, model)
                assert len(rig.seen) == start, f"{model.id}: estimate() asks the backend"
                requests = [self.request(model, task)]
                if model.tasks[task].max_images > 1:
                    requests.append(replace(requests[0], num_images=model.tasks[task].max_images))
                for request in requests:
                    await self._check_cost(rig, request, model)
                for reply in self.costs:
                    rig.http.script = self._recorded(reply)
                    await self._check_cost(rig, requests[0], model)
                    rig.http.script = self.reply

        self._in_rig(check)

    def test_refusals_are_the_errors_that_they_are(self) -> None:
        """Each recorded refusal is raised as its class, and what it cost is within the estimate."""

        async def check(rig: Rig) -> None:
            for model, task in await self._samples(rig):
                for number, (reply, kind) in enumerate(self.refusals, 1):
                    where = f"{model.id}, {task}, refusal {number} (HTTP {reply.status})"
                    rig.http.script = self._recorded(reply)
                    start = len(rig.seen)
                    error = await self._error(where, rig, model, task)
                    name = f"{type(error).__name__}({error})"
                    assert isinstance(error, kind), f"{where}: {name} is no {kind.__name__}"
                    posts = sum(self.is_submit(seen) for seen in rig.seen[start:])
                    assert posts <= 1, f"{where}: was submitted {posts} times"
                    bound = rig.provider.estimate(self.request(model, task), model)
                    if error.charged and bound is not None:
                        assert error.charged <= bound.upper, f"{where}: cost more than the estimate"

        self._needs_http()
        if not self.refusals:
            raise unittest.SkipTest("no refusals are recorded")
        self._in_rig(check, timeout=2.0)

    def test_no_key_is_in_a_message_a_repr_a_log_or_a_download(self) -> None:
        """Keys go to the backend alone, even where it quotes them."""
        proxy = "proxy-token-5f1d9c3b7a2e4d6f"
        secrets = [*self.secrets.values()]
        secrets += [base64.b64encode(key.encode()).decode() for key in secrets]
        echoes = [
            Reply(
                status=status,
                body={"error": {"message": f"Incorrect key: {key}", "code": "invalid_api_key"}},
            )
            for key in (*self.secrets.values(), proxy)
            for status in (400, 401, 403, 429, 500)
        ]

        async def check() -> None:
            fields = self.provider_type.Settings.model_fields
            extra = {"headers": {"X-Proxy": proxy}} if "headers" in fields else {}
            texts: list[tuple[str, str]] = []
            with captured_logs() as logs:
                async with self.rig(timeout=2.0, **extra) as rig:
                    for model, task in await self._samples(rig):
                        generation = await self._made(rig, f"{model.id}, {task}", model, task)
                        texts.append(("the repr of a generation", repr(generation)))
                        texts.append(("the repr of a model", repr(model)))
                        for reply in (*echoes, *(reply for reply, _ in self.refusals)):
                            rig.http.script = self._instead(reply, self.is_submit)
                            texts += await self._said(rig, model, task)
                        rig.http.script = self.reply
                    rig.http.script = always(echoes[0])
                    probe = await self._outcome("probe", rig.provider.probe())
                    texts.append(("what probe says", f"{probe!r} {probe}"))
                    texts.append(("the provider's repr", repr(rig.provider)))
                    settings = self.provider_type.Settings.model_validate(
                        {**self.section(rig.http.url), **extra}
                    )
                    texts.append(("the settings' repr", f"{settings!r} {settings}"))
                    texts += [("a message of its progress", text) for text in rig.messages]
                    asked = list(zip(rig.http.seen, rig.http.replies, strict=False))
            texts += [("what is logged", line) for line in logs]
            for where, text in texts:
                leaked = any(secret in text for secret in (*secrets, proxy))
                assert not leaked, f"a key stands in {where}"
            for seen, reply in asked:
                if self._is_download(seen, reply):
                    sent = f"{seen.path} {list(seen.headers.values())}"
                    leaked = any(secret in sent for secret in secrets)
                    assert not leaked, "a picture is downloaded with the key: use http.download"

        self._needs_http()
        self._run(check)

    def test_a_redirect_of_a_request_is_not_followed(self) -> None:
        """An answer that leads elsewhere is an error; prompt and key go nowhere else."""

        async def check(rig: Rig) -> None:
            with FakeVendor(self.reply) as other:
                for model, task in await self._samples(rig):
                    for status in (301, 302, 303, 307, 308):
                        reply = Reply(status=status, headers={"location": f"{other.url}/elsewhere"})
                        rig.http.script = self._instead(reply, self.is_submit)
                        where = f"{model.id}, {task}: HTTP {status}"
                        outcome = await self._attempt(where, rig, model, task)
                        assert not other.connections, f"{where}: the redirect was followed"
                        assert isinstance(outcome, ProviderError), f"{where}: is taken for success"

        self._needs_http()
        self._in_rig(check, timeout=2.0)

    def test_a_vendor_cannot_make_us_ask_private_addresses(self) -> None:
        """Addresses in a vendor's answer that lead into this machine or network are not asked."""

        async def check(rig: Rig) -> None:
            with FakeVendor(lambda seen: Reply(body=canvas(8, 8))) as inside:
                port = inside.url.rpartition(":")[2]
                for model, task in await self._samples(rig):
                    if model.where != "vendor":
                        continue
                    for address, is_picture in (await self._addresses(rig, model, task)).items():
                        for hostile in (
                            f"http://127.0.0.1:{port}/x.png",
                            f"http://localhost:{port}/x.png",
                            f"https://127.0.0.1:{port}/x.png",
                            "https://inside.test/x.png",
                            "http://pictures.test/x.png",
                            Path(__file__).as_uri(),
                        ):
                            where = f"{model.id}, {task}: {hostile}"
                            rig.http.script = self._leading_to(address, hostile)
                            outcome = await self._attempt(where, rig, model, task)
                            assert not inside.connections, f"{where} was asked: use http.download"
                            failed = isinstance(outcome, ProviderError)
                            assert failed or not is_picture, f"{where}: is taken for a picture"

        self._needs_http()
        self._in_rig(check, timeout=1.0)

    def test_an_endless_answer_is_not_read_whole(self) -> None:
        """No answer is read beyond ProviderContext.max_answer_bytes."""

        async def check(model: Model, task: Task, stage: int) -> None:
            async with self.rig(timeout=2.0) as rig:
                await self.models(rig.provider)
                start = len(rig.seen)
                number = 0

                def script(seen: Seen) -> Reply:
                    nonlocal number
                    number += 1
                    reply = self.reply(seen)
                    if number != stage:
                        return reply
                    body = reply.body if isinstance(reply.body, bytes) else b'{"a": "'
                    return replace(reply, body=body, then="endless")

                rig.http.script = script
                where = f"{model.id}, {task}: an endless answer"
                outcome = await self._attempt(where, rig, model, task)
                most = self.max_answer_bytes + SLACK
                if len(rig.seen) < start + stage:
                    return
                endless = rig.seen[start + stage - 1]
                assert rig.http.endless_bytes <= most, (
                    f"{where} to {endless.method} {endless.path} was read whole; stop at"
                    " context.max_answer_bytes, as http does"
                )
                failed = isinstance(outcome, ProviderError)
                assert failed or not self.is_submit(endless), f"{where}: is taken for success"

        self._needs_http()
        self._at_each_stage(check)

    def test_resolve_never_raises_and_never_forgets_what_was_sent(self) -> None:
        """After a crash at any moment, another process is told what became of the request."""

        async def check(model: Model, task: Task, stage: int) -> None:
            async with self.rig(timeout=0.5) as rig:
                await self.models(rig.provider)
                start = len(rig.seen)
                remote_id = await self._cancelled(rig, model, task, stage, strict=False) or ""
                sent = any(self.is_submit(seen) for seen in rig.seen[start:])
                scripts: list[Callable[[Seen], Reply]] = [self.reply]
                if rig.vendor is not None:
                    scripts += map(always, FAILURES.values())
                for script in scripts:
                    if rig.vendor is not None:
                        rig.vendor.script = script
                    async with self._successor(rig) as successor:
                        start = len(rig.seen)
                        resolution = await self._resolved(successor, remote_id)
                        if script == self.reply and resolution.state in ("running", "finished"):
                            await self._collected(successor, resolution, model, task)
                    asked = len(rig.seen) > start and script == self.reply
                    paid = not is_free(model.prices)
                    free = resolution.state == "failed" and resolution.cost.micro_usd == 0
                    costless = resolution.state == "not_sent" or free
                    assert not (costless and paid and sent and not asked), (
                        f"{model.id}: resolve() says {resolution.state} of a request that was"
                        " sent, without the backend's word: it is unknowable"
                    )

        self._at_each_stage(check)

    def test_probe_never_raises_and_ends_within_two_seconds(self) -> None:
        """Whatever the backend does, probe says how it is."""

        async def check(rig: Rig) -> None:
            await self._probed(rig.provider, "when all is well")
            if rig.vendor is None:
                return
            denied = Reply(status=401, body={"error": "denied"})
            for what, reply in {**FAILURES, "the answer was HTTP 401": denied}.items():
                rig.vendor.script = always(reply)
                start = len(rig.seen)
                probe = await self._probed(rig.provider, f"when {what}")
                asked = len(rig.seen) > start
                assert not asked or probe.state != "ready", f"probe says ready when {what}"
            with tempfile.TemporaryDirectory() as folder:
                provider = self.build(f"http://127.0.0.1:{closed_port()}", Path(folder))
                await self._probed(provider, "when nothing listens")
                await self._closed(provider)

        self._in_rig(check)

    def test_an_answer_in_other_words_is_a_provider_error(self) -> None:
        """JSON that is not the API's, at whatever stage, is an error of the contract."""

        async def check(model: Model, task: Task, stage: int) -> None:
            bodies: list[Any] = [{}, [], {"data": [{}], "status": 7, "id": None}, "words"]
            for body in bodies:
                async with self.rig(timeout=0.4) as rig:
                    await self.models(rig.provider)
                    rig.http.script = nth(stage, Reply(body=body), self.reply)
                    await self._attempt(
                        f"{model.id}, {task}: {body!r} as answer {stage}", rig, model, task
                    )

        self._needs_http()
        self._at_each_stage(check)

    def test_a_balance_is_told_or_not_and_costs_nothing(self) -> None:
        """What is left on the account is a Balance, None, or a ProviderError; no POST asks."""

        async def check(rig: Rig) -> None:
            start = len(rig.seen)
            await self._outcome("balance", rig.provider.balance(), BALANCE)
            posts = [seen.path for seen in rig.seen[start:] if self.is_submit(seen)]
            assert not posts, f"balance sent a POST to {posts[0]}"

        self._in_rig(check, timeout=2.0)

    def test_it_can_be_closed_twice(self) -> None:
        """Before the first call, after it, and again."""

        async def check(rig: Rig) -> None:
            await self._closed(rig.provider)
            await rig.provider.list_models()
            await self._closed(rig.provider)
            await self._closed(rig.provider)

        self._in_rig(check)

    # How they are made

    def _needs_http(self) -> None:
        if not self.speaks_http:
            raise unittest.SkipTest("it does not speak HTTP")

    def _run(self, check: Callable[[], Awaitable[None]]) -> None:
        anyio.run(check)

    def _in_rig(
        self, check: Callable[[Rig], Awaitable[None]], *, timeout: float | None = None
    ) -> None:
        async def inside() -> None:
            async with self.rig(timeout=timeout) as rig:
                await check(rig)

        self._run(inside)

    def _at_each_stage(self, check: Callable[[Model, Task, int], Awaitable[None]]) -> None:
        """Run a check once for each request that making a picture takes."""

        async def inside() -> None:
            async with self.rig() as rig:
                stages: list[tuple[Model, Task, int]] = []
                for model, task in await self._samples(rig):
                    count = 1
                    if rig.vendor is not None:
                        start = len(rig.seen)
                        await self._made(rig, f"{model.id}, {task}", model, task)
                        count = len(rig.seen) - start
                    stages.extend((model, task, n) for n in range(1, count + 1))
            for model, task, stage in stages:
                await check(model, task, stage)

        self._run(inside)

    async def _cases(self, rig: Rig) -> list[tuple[Model, Task]]:
        return [(m, task) for m in await self.models(rig.provider) for task in m.tasks]

    async def _samples(self, rig: Rig) -> list[tuple[Model, Task]]:
        """One model for each task."""
        first: dict[Task, Model] = {}
        for model, task in await self._cases(rig):
            first.setdefault(task, model)
        return [(model, task) for task, model in first.items()]

    def _is_costly(self, seen: Seen) -> bool:
        return self.is_submit(seen) if self.lists_by_post else seen.method != "GET"

    def _check_model(self, model: Model) -> None:
        where = f"the model {model.id!r}"
        self._by_contract(where, MODEL, model)
        assert model.provider == NAME, f"{where}: provider is {model.provider!r}, not its name"
        if self.speaks_http:
            self._check_where(model)
        free = model.prices is FREE and model.where == "vendor"
        assert not free, f"{where}: is FREE at a vendor; give a price, or PriceBook(rates=())"
        if not is_present(model):
            assert model.fix, f"{where}: is {model.state}, and fix does not say what to do"
            return
        if model.role != "model":
            assert not model.tasks, f"{where}: is no model of its own, and has tasks"
            return
        assert model.tasks, f"{where}: is present, and does nothing"
        for task, able in model.tasks.items():
            at = f"{where}, {task}"
            native = native_size(able.sizes)
            not_allowed = problem(able.sizes, native)
            assert not not_allowed, f"{at}: its native {native} is not among {not_allowed}"
            assert task not in MASK_TASKS or able.mask, f"{at}: mask does not say its polarity"
            assert task != "upscale" or able.factors, f"{at}: has no factors"

    def _check_where(self, model: Model) -> None:
        settings = self.provider_type.Settings.model_validate(
            {**self.section("http://127.0.0.1:9")}
        )
        if isinstance(settings, HttpSettings) and model.where == "this_machine":
            home = where_is(settings)
            assert home == "this_machine", (
                f"the model {model.id!r}: says that it runs on this machine, and by its address it"
                f" runs at {home}: take `http.where`"
            )

    async def _observed(
        self, rig: Rig, where: str, model: Model, task: Task, **changes: Any
    ) -> object:
        request = self.request(model, task, **changes)
        return await self._good(where, self.observed(rig, request, model))

    async def _made(self, rig: Rig, where: str, model: Model, task: Task) -> Generation:
        work = self.make(rig, self.request(model, task), model)
        return await self._good(where, work, GENERATION)

    async def _good(self, where: str, work: Awaitable[T], answer: Answer[T] | None = None) -> T:
        outcome = await self._outcome(where, work, answer)
        if isinstance(outcome, ProviderError):
            what = f"{where}: {type(outcome).__name__} after a good answer: {outcome}"
            raise AssertionError(what) from outcome
        return outcome

    async def _outcome(
        self, where: str, work: Awaitable[T], answer: Answer[T] | None = None
    ) -> T | ProviderError:
        limit = asyncio.timeout(PATIENCE)
        try:
            async with limit:
                given = await work
            return given if answer is None else self._by_contract(where, answer, given)
        except ProviderError as e:
            return e
        except AssertionError:
            raise
        except Exception as e:
            if limit.expired():
                raise AssertionError(f"{where}: did not end within {PATIENCE:g} s") from e
            what = f"{where}: {type(e).__name__}, which is no ProviderError"
            raise AssertionError(what) from e

    def _by_contract(self, where: str, answer: Answer[T], given: object) -> T:
        try:
            return answer.check(given)
        except ValueError as e:
            raise AssertionError(f"{where}: {type(given).__name__}: {e}") from e

    async def _attempt(
        self, where: str, rig: Rig, model: Model, task: Task
    ) -> Generation | ProviderError:
        work = self.make(rig, self.request(model, task), model)
        return await self._outcome(where, work, GENERATION)

    async def _error(self, where: str, rig: Rig, model: Model, task: Task) -> ProviderError:
        outcome = await self._attempt(where, rig, model, task)
        assert isinstance(outcome, ProviderError), f"{where}: is taken for success"
        return outcome

    async def _refused_connection(self, model: Model, task: Task) -> None:
        where = f"{model.id}, {task}: nothing listens"
        with tempfile.TemporaryDirectory() as folder:
            provider = self.build(f"http://127.0.0.1:{closed_port()}", Path(folder), timeout=2.0)
            try:
                error = await self._error(where, Rig(provider=provider), model, task)
            finally:
                await self._closed(provider)
        not_sent = error.charged == 0 and error.fallback
        assert not_sent, f"{where}: nothing was sent, so charged is 0 and the next may be tried"

    def _instead(self, reply: Reply, applies: Callable[[Seen], bool]) -> Callable[[Seen], Reply]:
        return lambda seen: at_origin(reply, seen) if applies(seen) else self.reply(seen)

    def _recorded(self, reply: Reply) -> Callable[[Seen], Reply]:
        return self._instead(reply, lambda seen: self.gets(seen, reply))

    def _is_download(self, seen: Seen, reply: Reply) -> bool:
        return seen.method == "GET" and isinstance(reply.body, bytes) and reply.status == 200

    async def _addresses(self, rig: Rig, model: Model, task: Task) -> Mapping[str, bool]:
        """Every address in the answers of a good run, and whether a picture was fetched there."""
        rig.http.script = self.reply
        start = len(rig.seen)
        await self._made(rig, f"{model.id}, {task}", model, task)
        asked = list(zip(rig.http.seen, rig.http.replies, strict=False))[start:]
        fetched = {seen.path for seen, reply in asked if self._is_download(seen, reply)}
        found: dict[str, bool] = {}
        for _, reply in asked:
            for address in addresses_in(reply.body):
                found[address] = httpx2.URL(address).raw_path.decode() in fetched
        return found

    def _leading_to(self, address: str, hostile: str) -> Callable[[Seen], Reply]:
        def script(seen: Seen) -> Reply:
            reply = self.reply(seen)
            return replace(reply, body=replaced(reply.body, address, hostile))

        return script

    async def _said(self, rig: Rig, model: Model, task: Task) -> Iterator[tuple[str, str]]:
        outcome = await self._attempt(f"{model.id}, {task}", rig, model, task)
        if not isinstance(outcome, ProviderError):
            return iter(())
        errors = chain(outcome)
        return ((f"the message of {type(e).__name__}", f"{e} {e!r} {vars(e)}") for e in errors)

    def _variants(self, model: Model, task: Task) -> Iterator[ProviderRequest]:
        """Requests of all sizes, qualities and numbers."""
        able = model.tasks[task]
        qualities = {**OPTION_VALUES, **self.option_values}["quality"]
        for size in corners(able.sizes):
            for count in {1, able.max_images}:
                yield self.request(model, task, size=size, num_images=count)
                if "quality" in able.options:
                    for quality in qualities:
                        yield self.request(
                            model, task, size=size, num_images=count, quality=quality
                        )

    def _check_estimate(
        self, provider: Provider, request: ProviderRequest, model: Model
    ) -> Estimate | None:
        where = f"{model.id}, {request.task}, {request.width}x{request.height}"
        if request.quality:
            where += f", {request.quality}"
        bound = provider.estimate(request, model)
        if bound is None:
            known = estimate(request, model) is not None
            assert not known, f"{where}: estimate() is None, and its price is known"
            return None
        assert 0 <= bound.expected <= bound.upper, f"{where}: expected is above upper"
        book = estimate(request, model)
        assert book is None or bound.upper >= book.expected, (
            f"{where}: the estimate's upper {bound.upper} is below the price book's {book}"
        )
        if is_free(model.prices):
            assert bound.upper == 0, f"{where}: is free, and its estimate is not 0"
        else:
            assert bound.upper > 0, f"{where}: is paid, and its estimate is 0"
        return bound

    async def _check_cost(self, rig: Rig, request: ProviderRequest, model: Model) -> None:
        where = f"{model.id}, {request.task}"
        bound = self._check_estimate(rig.provider, request, model)
        generation = await self._good(where, self.make(rig, request, model), GENERATION)
        count, asked = len(generation.images), request.num_images
        assert count, f"{where}: a Generation without a picture; raise InvalidOutput"
        assert count <= asked, f"{where}: {count} pictures of {asked}"
        counted = rig.vendor is None or (self.counts_pictures and rig.http.script == self.reply)
        assert not counted or count == asked, (
            f"{where}: {count} pictures of {asked}; if reply() gives them all, one was lost"
        )
        for index, image in enumerate(generation.images):
            seeds = (None, (request.seed + index) % 2**32)
            assert image.seed in seeds, (
                f"{where}: picture {index} has the seed {image.seed}; where picture i is not made"
                " with seed + i, or the backend does not tell, it is None"
            )
        cost = generation.cost.micro_usd
        if is_free(model.prices) or cost is None:
            return
        assert cost != 0, f"{where}: is paid, and cost 0; what nobody tells is UNKNOWN_COST"
        assert bound is None or cost <= bound.upper, (
            f"{where}: cost {cost} micro-USD, above the estimate's upper {bound and bound.upper}"
        )

    async def _cancelled(
        self, rig: Rig, model: Model, task: Task, stage: int, *, strict: bool = True
    ) -> str | None:
        """Cancel a request at a stage; give its remote id, where there was one by then."""
        start, remote_ids = len(rig.seen), list[str]()
        if rig.vendor is not None:
            rig.vendor.script = nth(stage, HANG, self.reply)

        async def work() -> None:
            request = self.request(model, task)
            submission = await rig.provider.submit(request, model, rig.run)
            if isinstance(submission, RemoteJob):
                remote_ids.append(submission.id)
                await rig.provider.collect(submission.id, request, model, rig.run)

        def reached() -> bool:
            if rig.vendor is None:
                return bool(rig.messages)
            return len(rig.seen) - start >= stage

        job = asyncio.ensure_future(work())
        with anyio.fail_after(PATIENCE):
            while not (reached() or job.done()):  # noqa: ASYNC110 (of another thread)
                await anyio.sleep(0.005)
        ended = job.done()
        job.cancel()
        await asyncio.wait({job}, timeout=CANCEL_SECONDS + TOLERANCE)
        where = f"{model.id}, {task}"
        error = job.exception() if job.done() and not job.cancelled() else None
        if not strict:
            return remote_ids[0] if remote_ids else None
        assert job.done(), f"{where}: did not end within 2 s after it was cancelled"
        if not ended and not job.cancelled():
            what = "returned" if error is None else f"raised {type(error).__name__}"
            raise AssertionError(f"{where}: was cancelled, and {what}: let CancelledError through")
        return remote_ids[0] if remote_ids else None

    @asynccontextmanager
    async def _successor(self, rig: Rig) -> AsyncGenerator[Provider]:
        """The provider as another process builds it, at the same backend."""
        if rig.vendor is None:
            yield rig.provider
            return
        with tempfile.TemporaryDirectory() as folder:
            provider = self.build(rig.vendor.url, Path(folder), timeout=0.5)
            try:
                yield provider
            finally:
                await self._closed(provider)

    async def _resolved(self, provider: Provider, remote_id: str) -> Resolution:
        try:
            with anyio.fail_after(PATIENCE):
                resolution = await provider.resolve(KEY, remote_id)
        except Exception as e:
            what = f"resolve() raised {type(e).__name__}: what cannot be looked up is unknowable"
            raise AssertionError(what) from e
        self._by_contract("resolve()", RESOLUTION, resolution)
        if resolution.state in ("running", "finished"):
            what = f"resolve() says {resolution.state}, without the remote_id to collect it"
            assert resolution.remote_id, what
        return resolution

    async def _collected(
        self, provider: Provider, resolution: Resolution, model: Model, task: Task
    ) -> None:
        where = f"{model.id}, {task}: collect() of what resolve() calls {resolution.state}"
        run, request = Rig(provider=provider).run, self.request(model, task)
        await self._good(where, provider.collect(resolution.remote_id, request, model, run))

    async def _closed(self, provider: Provider) -> None:
        try:
            await provider.aclose()
        except Exception as e:
            what = f"aclose() raised {type(e).__name__}: it may be called at any time, and twice"
            raise AssertionError(what) from e

    async def _probed(self, provider: Provider, what: str) -> Probe:
        started = time.monotonic()
        try:
            with anyio.fail_after(PATIENCE):
                probe = await provider.probe()
        except Exception as e:
            raise AssertionError(f"probe raised {type(e).__name__} {what}: it never does") from e
        spent = time.monotonic() - started
        self._by_contract("probe()", PROBE, probe)
        assert spent <= PROBE_SECONDS + TOLERANCE, f"probe took {spent:.1f} s {what}"
        return probe
