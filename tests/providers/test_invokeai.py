"""Jobs of InvokeAI: sent, watched, fetched, cancelled, found again, and what its errors mean."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image

from tests.support.calls import client, data, said
from tests.support.factory import service
from tests.support.fake_invokeai import (
    NO_MODEL,
    OOM,
    RECORDS,
    SD1,
    UPSCALER,
    FakeInvokeAI,
    record,
)
from tests.support.invokeai_calls import RUN, at, listed, make, provider, request
from tests.support.vendors import ignore
from ziggie_image_mcp.provider import (
    EngineCrashed,
    EngineGone,
    InvalidOutput,
    Lora,
    ModelMissing,
    OutOfMemory,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RemoteJob,
    RequestRejected,
    Run,
)
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen
from ziggie_image_mcp.provider.testing.rig import halves
from ziggie_image_providers.invokeai import batch_id, samplers

ID = "dreamshaper"
DESTINATION = batch_id(RUN.key)


async def error_of(fake: FakeInvokeAI, **changes: Any) -> ProviderError:
    async with provider(fake) as invoke:
        with pytest.raises(ProviderError) as error:
            await make(invoke, ID, request(**changes))
    return error.value


# Sent


async def test_a_request_is_a_batch_whose_id_and_destination_are_derived_from_its_run() -> None:
    async with provider(server := FakeInvokeAI()) as invoke:
        await make(invoke, ID, request(num_images=2, seed=2**32 - 1))

    [batch] = server.batches
    del batch["graph"]
    assert batch == {
        "batch_id": DESTINATION,
        "origin": "ziggie",
        "destination": DESTINATION,
        "runs": 1,
        "data": [[{"node_path": "noise", "field_name": "seed", "items": [2**32 - 1, 0]}]],
    }


async def test_the_seeds_of_models_without_a_noise_node_go_to_their_sampler() -> None:
    async with provider(server := FakeInvokeAI()) as invoke:
        await make(invoke, "z-image-turbo", request(num_images=2))

    [[datum]] = server.batches[0]["data"]
    assert datum == {"node_path": "denoise", "field_name": "seed", "items": [7, 8]}


async def test_under_a_mask_what_is_black_is_painted_anew_and_what_is_white_stays() -> None:
    async with provider(server := FakeInvokeAI()) as invoke:
        model = (await listed(invoke))[ID]
        await invoke.submit(request("inpaint"), model, RUN)

    node = server.batches[0]["graph"]["nodes"]["mask"]
    mask = server.images.get(node["mask"]["image_name"])
    assert model.tasks["inpaint"].mask == "black"
    assert mask is not None
    assert halves(mask, "black") == (True, False)


async def test_an_embedding_goes_out_by_its_key() -> None:
    async with provider(server := FakeInvokeAI()) as invoke:
        await make(invoke, ID, request(negative_prompt="blurry, Embedding:easynegative"))

    key = next(r["key"] for r in RECORDS if r["name"] == "EasyNegative")
    negative = server.batches[0]["graph"]["nodes"]["negative"]["prompt"]
    assert negative == f"blurry, <{key}>"


async def test_an_embedding_whose_name_begins_as_anothers_goes_out_by_its_own_key() -> None:
    hands = record("EasyNegative-hands", "sd-1", "embedding", format="embedding_file")
    server = FakeInvokeAI(records=[*RECORDS, hands])
    async with provider(server) as invoke:
        negative = "embedding:EasyNegative, embedding:EasyNegative-hands"
        await make(invoke, ID, request(negative_prompt=negative))

    key = next(r["key"] for r in RECORDS if r["name"] == "EasyNegative")
    sent = server.batches[0]["graph"]["nodes"]["negative"]["prompt"]
    assert sent == f"<{key}>, <{hands['key']}>"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sampler": "dpmpp_2n"}, RequestRejected, "no sampler 'dpmpp_2n'; nearest: dpmpp_2"),
        (
            {"sampler": "ddim", "scheduler": "karras"},
            RequestRejected,
            "no karras scheduler for ddim",
        ),
        ({"scheduler": "beta"}, RequestRejected, "no scheduler 'beta'; it has karras and normal"),
        (
            {"loras": (Lora(id="pixel-arts"),)},
            ModelMissing,
            "LoRA 'pixel-arts'; nearest: pixel-art",
        ),
        ({"prompt": "embedding:easy"}, ModelMissing, "embedding 'easy'; nearest: EasyNegative"),
    ],
)
async def test_what_it_would_not_honour_is_refused_before_anything_is_sent(
    changes: dict[str, Any], error: type[ProviderError], message: str
) -> None:
    server = FakeInvokeAI()
    async with provider(server) as invoke:
        with pytest.raises(error, match=message):
            await make(invoke, ID, request("image_to_image", **changes))

    assert (server.batches, server.uploaded) == ([], [])


@pytest.mark.parametrize(
    ("sampler", "scheduler", "word"),
    [
        ("", "", "euler"),
        ("", "karras", "euler_k"),
        ("Euler a", "", "euler_a"),
        ("dpmpp_2m", "Karras", "dpmpp_2m_k"),
        ("DPM++ 2M Karras", "", "dpmpp_2m_k"),
        ("DPM++ 2M Karras", "normal", "dpmpp_2m"),
        ("dpmpp_3m_sde", "", "dpmpp_3m"),
        ("k_euler_ancestral", "", "euler_a"),
        ("uni_pc", "", "unipc"),
        ("dpm_2_ancestral", "", "kdpm_2_a"),
        ("heun_k", "", "heun_k"),
    ],
)
def test_samplers_go_by_the_names_of_all_engines(sampler: str, scheduler: str, word: str) -> None:
    from ziggie_image_providers.invokeai.families import data as facts

    assert samplers.choose(sampler, scheduler, "euler", facts().samplers["sd"]) == word


async def test_a_model_that_is_not_there_is_missing_with_the_nearest() -> None:
    async with provider(FakeInvokeAI()) as invoke:
        model = (await listed(invoke))[ID]
        with pytest.raises(ModelMissing, match="model 'dreamshaper-9'; nearest: dreamshaper"):
            await invoke.submit(request(), replace(model, id="dreamshaper-9"), RUN)


async def test_a_full_queue_takes_nothing() -> None:
    server = FakeInvokeAI(room=1)

    error = await error_of(server, num_images=3)

    assert isinstance(error, ProviderUnavailable)
    assert "took 1 pictures of 3" in str(error)
    assert [item.status for item in server.items] == ["canceled"]


async def test_a_batch_whose_answer_was_lost_is_looked_for_and_not_sent_again() -> None:
    async with provider(server := FakeInvokeAI(loses_answer=True)) as invoke:
        generation = await make(invoke, ID, request())

    assert len(generation.images) == 1
    assert len(server.batches) == 1


async def test_a_connection_that_breaks_is_tried_again_by_a_get() -> None:
    server, broken = FakeInvokeAI(), list[str]()

    def script(seen: Seen) -> Reply:
        route = seen.path.partition("?")[0]
        if seen.method == "GET" and route not in broken:
            broken.append(route)
            return Reply(then="reset")
        return server(seen)

    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke:
            generation = await make(invoke, ID, request())

    assert len(generation.images) == 1
    assert len(broken) > 5


# Fetched


async def test_pictures_come_in_the_order_of_their_seeds_however_they_are_numbered() -> None:
    async with provider(server := FakeInvokeAI()) as invoke:
        generation = await make(invoke, ID, request(num_images=3, seed=2**32 - 2))

    assert [image.seed for image in generation.images] == [2**32 - 2, 2**32 - 1, 0]
    assert len(server.items) == 3


async def test_the_node_that_gives_the_picture_is_not_cached_so_that_no_two_jobs_share_it() -> None:
    async with provider(server := FakeInvokeAI()) as invoke:
        await make(invoke, ID, request())
        await make(invoke, "4x-UltraSharp", request("upscale", factor=2))

    outputs = [batch["graph"]["nodes"]["out"] for batch in server.batches]
    assert [out["use_cache"] for out in outputs] == [False, False]


async def test_nothing_is_left_on_the_server() -> None:
    async with provider(server := FakeInvokeAI()) as invoke:
        await make(invoke, ID, request("inpaint", num_images=2))
        during = len(server.images)

    assert during == 4
    assert server.images == {}


async def test_pictures_stay_in_the_gallery_where_that_is_set() -> None:
    async with provider(server := FakeInvokeAI(), keep=True) as invoke:
        await make(invoke, ID, request("image_to_image"))

    assert server.batches[0]["graph"]["nodes"]["out"]["is_intermediate"] is False
    assert len(server.images) == 1
    assert server.deleted == server.uploaded


async def test_what_was_uploaded_for_a_job_that_failed_is_taken_away_too() -> None:
    server = FakeInvokeAI(endings=[OOM])
    async with provider(server) as invoke:
        with pytest.raises(OutOfMemory):
            await make(invoke, ID, request("image_to_image"))

    assert len(server.uploaded) == 1
    assert server.images == {}


async def test_a_picture_that_is_gone_is_no_success() -> None:
    def script(seen: Seen) -> Reply:
        return Reply(status=404) if seen.path.endswith("/full") else server(seen)

    server = FakeInvokeAI()
    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke:
            with pytest.raises(InvalidOutput, match="its picture is gone"):
                await make(invoke, ID, request())


# Failed


@pytest.mark.parametrize(
    ("ending", "error", "message"),
    [
        (OOM, OutOfMemory, "ran out of memory; ask for a smaller picture"),
        (NO_MODEL, ModelMissing, "does not have a model any more"),
        (("ValueError", "Unknown lora: k!"), ModelMissing, "does not have a model any more"),
        (
            ("Exception", "Traceback (most recent call last):\n  x\nMax retries exceeded with url"),
            ModelMissing,
            "could not download a file .* Exception: Max retries exceeded",
        ),
        (
            ("TypeError", "argument of type 'NoneType'"),
            ProviderError,
            "TypeError: argument of type",
        ),
    ],
)
async def test_a_failed_item_is_the_error_that_it_is(
    ending: tuple[str, str], error: type[ProviderError], message: str
) -> None:
    with pytest.raises(error, match=message):
        raise await error_of(FakeInvokeAI(endings=[ending]))


async def test_where_some_pictures_fail_the_others_are_kept_and_it_is_said() -> None:
    async with provider(FakeInvokeAI(endings=["completed", OOM, "completed"])) as invoke:
        generation = await make(invoke, ID, request(num_images=3))

    assert [image.seed for image in generation.images] == [7, 9]
    assert [note.partition(":")[0] for note in generation.notes] == ["picture 2 failed"]


async def test_where_the_first_picture_fails_the_others_are_not_made() -> None:
    server = FakeInvokeAI(endings=[OOM, "hangs"])

    error = await error_of(server, num_images=3)

    assert isinstance(error, OutOfMemory)
    assert [item.status for item in server.items] == ["failed", "canceled", "canceled"]


async def test_a_graph_with_a_model_of_another_base_is_never_made() -> None:
    """InvokeAI would take it, and fail late without a helpful word."""
    async with provider(server := FakeInvokeAI()) as invoke:
        for id in ("juggernaut-xl", "flux-dev", "z-image-turbo"):
            await make(invoke, id, request())

    loaders = [batch["graph"]["nodes"]["model"] for batch in server.batches]
    assert [(node["type"], node["model"]["base"]) for node in loaders] == [
        ("sdxl_model_loader", "sdxl"),
        ("flux_model_loader", "flux"),
        ("z_image_model_loader", "z-image"),
    ]


# Watched


async def messages_of(server: FakeInvokeAI, when: str, then: Any) -> list[str]:
    """What is told of a job until something has been told, and then until its end."""
    messages: list[str] = []

    async def progress(share: float, message: str) -> None:
        messages.append(message)
        if when in message:
            then()

    async with provider(server) as invoke:
        with anyio.fail_after(30):
            await make(invoke, ID, request(), Run(key="k", progress=progress))
    return messages


async def test_who_waits_is_told_how_many_of_others_come_first() -> None:
    server = FakeInvokeAI(others=2)

    messages = await messages_of(server, "behind 2 of others", lambda: setattr(server, "others", 0))

    assert messages[0] == "waiting in InvokeAI's queue, behind 2 of others"
    assert any(message.startswith("working for") for message in messages)


async def test_a_paused_queue_is_said() -> None:
    server = FakeInvokeAI(paused=True)

    messages = await messages_of(server, "resume", lambda: setattr(server, "paused", False))

    assert messages[0] == "InvokeAI's queue is paused; press its resume button"


async def test_work_beyond_the_timeout_is_stopped_and_says_which_setting() -> None:
    server = FakeInvokeAI(endings=["hangs"])
    async with provider(server, timeout=0.3) as invoke:
        with pytest.raises(ProviderTimeout, match=r"providers\.invokeai\.timeout"):
            await make(invoke, ID, request())

    assert [item.status for item in server.items] == ["canceled"]


async def test_a_queue_that_somebody_cleared_loses_the_job() -> None:
    server = FakeInvokeAI(endings=["hangs"])

    with pytest.raises(EngineGone, match="taken off InvokeAI's queue"):
        await messages_of(server, "working", server.clear)


async def test_a_job_that_somebody_stopped_is_said() -> None:
    server = FakeInvokeAI(endings=["canceled"])

    with pytest.raises(EngineCrashed, match="stopped in InvokeAI by somebody else") as error:
        raise await error_of(server)

    assert not isinstance(error.value, EngineGone)


async def test_a_restart_in_the_middle_of_a_job_is_told_apart_from_that() -> None:
    server, silent = FakeInvokeAI(endings=["hangs"]), 0

    def script(seen: Seen) -> Reply:
        nonlocal silent
        runs = any(item.status == "in_progress" for item in server.items)
        if runs and silent < 4:  # a GET is tried twice
            silent += 1
            if silent == 4:
                server.restart()
            return Reply(then="reset")
        return server(seen)

    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke:
            with pytest.raises(EngineGone, match="InvokeAI was restarted during the job"):
                await make(invoke, ID, request())


async def test_a_server_that_goes_away_for_good_is_gone() -> None:
    server = FakeInvokeAI(endings=["hangs"])

    def script(seen: Seen) -> Reply:
        gone = any(item.status == "in_progress" for item in server.items)
        return Reply(then="reset") if gone else server(seen)

    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke:
            with pytest.raises(EngineGone, match="stopped answering during the job"):
                await make(invoke, ID, request())


async def test_what_waits_on_a_server_that_went_away_is_stopped_once_it_is_back() -> None:
    server, away = FakeInvokeAI(endings=["hangs"]), False

    def script(seen: Seen) -> Reply:
        nonlocal away
        if not away and any(item.status == "in_progress" for item in server.items):
            away = True
            server.restart()
        return Reply(then="reset") if away and not back else server(seen)

    back = False
    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke:
            with pytest.raises(EngineGone):
                await make(invoke, ID, request(num_images=2))
            back = True
            await invoke.submit(
                request(), (await listed(invoke))[ID], Run(key="k", progress=ignore)
            )

    assert [item.status for item in server.items] == ["canceled", "canceled", "pending"]


# Cancelled, and found again


async def test_cancelling_stops_all_of_the_batch_and_nobody_elses() -> None:
    server = FakeInvokeAI(endings=["hangs"])
    async with provider(server) as invoke:
        model = (await listed(invoke))[ID]
        other = await invoke.submit(request(), model, Run(key="another", progress=ignore))
        remote = await invoke.submit(request(num_images=2), model, RUN)
        assert isinstance(remote, RemoteJob)
        outcome = await invoke.cancel(remote.id)
        again = await invoke.cancel(remote.id)

    assert isinstance(other, RemoteJob)
    assert (outcome.state, again.state) == ("stopped", "too_late")
    assert [item.status for item in server.items] == ["pending", "canceled", "canceled"]


async def test_a_job_that_is_cancelled_while_it_is_sent_is_stopped() -> None:
    server, hang = FakeInvokeAI(endings=["hangs"]), True

    def script(seen: Seen) -> Reply:
        reply = server(seen)
        return Reply(then="hang") if hang and seen.path.endswith("enqueue_batch") else reply

    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke:
            model = (await listed(invoke))[ID]
            sending = asyncio.create_task(invoke.submit(request(), model, RUN))
            while not server.batches:
                await asyncio.sleep(0.01)
            sending.cancel()
            with anyio.fail_after(2), pytest.raises(asyncio.CancelledError):
                await sending

    assert [item.status for item in server.items] == ["canceled"]


async def test_a_job_that_another_process_took_up_is_left_alone() -> None:
    server = FakeInvokeAI()
    theirs = Run(key=RUN.key, progress=ignore, is_ours=lambda: False)

    def script(seen: Seen) -> Reply:
        reply = server(seen)
        return Reply(then="hang") if seen.path.endswith("enqueue_batch") else reply

    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke:
            model = (await listed(invoke))[ID]
            sending = asyncio.create_task(invoke.submit(request(), model, theirs))
            while not server.batches:
                await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    assert [item.status for item in server.items] == ["pending"]


@pytest.mark.parametrize(
    ("endings", "looks", "state"),
    [
        (["hangs"], 1, "running"),
        (["completed"], 2, "finished"),
        ([OOM], 2, "failed"),
        (["canceled"], 2, "failed"),
    ],
)
async def test_another_process_finds_a_job_by_the_key_of_its_run(
    endings: list[Any], looks: int, state: str
) -> None:
    with FakeVendor(FakeInvokeAI(endings=endings)) as vendor:
        async with at(vendor.url) as invoke:
            await invoke.submit(request(), (await listed(invoke))[ID], RUN)
        async with at(vendor.url) as successor:
            for _ in range(looks - 1):
                await successor.resolve(RUN.key, "")
            resolution = await successor.resolve(RUN.key, "")
            nothing = await successor.resolve("another", "")

    assert (resolution.state, resolution.remote_id) == (state, DESTINATION)
    assert nothing.state == "not_sent"


async def test_another_process_fetches_what_was_made_meanwhile() -> None:
    server = FakeInvokeAI()
    asked = request(num_images=2)
    with FakeVendor(server) as vendor:
        async with at(vendor.url) as invoke:
            model = (await listed(invoke))[ID]
            await invoke.submit(asked, model, RUN)
        async with at(vendor.url) as successor:
            resolution = await successor.resolve(RUN.key, "")
            generation = await successor.collect(resolution.remote_id, asked, model, RUN)

    assert [image.seed for image in generation.images] == [7, 8]
    assert len(server.batches) == 1


# Who is there


async def test_a_probe_tells_version_and_queue() -> None:
    async with provider(FakeInvokeAI(others=3)) as invoke:
        probe = await invoke.probe()

    assert (probe.state, probe.version, probe.queue_length) == ("ready", "6.14.2", 3)


async def test_another_service_is_named() -> None:
    kobold = Reply(body={"result": "KoboldCpp", "version": "1.113", "txt2img": True})

    def script(seen: Seen) -> Reply:
        return kobold if seen.path == "/api/extra/version" else Reply(status=404)

    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke:
            probe = await invoke.probe()

    assert probe.state == "wrong_service"
    assert "koboldcpp" in probe.message.lower()


async def test_where_several_users_share_it_a_login_is_asked_for() -> None:
    async with provider(FakeInvokeAI(users={"ana@example.org": "correct"})) as invoke:
        probe = await invoke.probe()

    assert probe.state == "unauthorised"
    assert "put EMAIL:PASSWORD of one into a variable, and name it as keyName" in probe.message


async def test_a_login_is_a_key_and_its_token_goes_with_every_request() -> None:
    login = "ana@example.org:hunter2-hunter2"
    server = FakeInvokeAI(users={"ana@example.org": "hunter2-hunter2"})
    with FakeVendor(server) as vendor:
        async with at(vendor.url, login, keyName="INVOKEAI_LOGIN") as invoke:
            probe = await invoke.probe()
            generation = await make(invoke, ID, request("image_to_image"))

    assert probe.state == "ready"
    assert len(generation.images) == 1
    assert server.logins == 1
    carried = [s for s in vendor.seen if b"hunter2" in s.content or "hunter2" in str(s.headers)]
    assert [s.path for s in carried] == ["/api/v1/auth/login"]


async def test_a_login_that_ended_is_renewed() -> None:
    server = FakeInvokeAI(users={"ana@example.org": "hunter2-hunter2"})
    with FakeVendor(server) as vendor:
        login = "ana@example.org:hunter2-hunter2"
        async with at(vendor.url, login, keyName="INVOKEAI_LOGIN") as invoke:
            await listed(invoke)
            server.tokens.clear()  # as after a restart with another secret
            generation = await make(invoke, ID, request())

    assert len(generation.images) == 1
    assert server.logins == 2


@pytest.mark.parametrize("login", ["ana@example.org:wrong-password", "no-colon-in-it"])
async def test_a_wrong_login_is_unauthorised_and_says_which_variable(login: str) -> None:
    with FakeVendor(FakeInvokeAI(users={"ana@example.org": "right-password"})) as vendor:
        async with at(vendor.url, login, keyName="INVOKEAI_LOGIN") as invoke:
            probe = await invoke.probe()

    assert probe.state == "unauthorised"
    assert "refused the login in INVOKEAI_LOGIN" in probe.message
    assert "wrong-password" not in probe.message


async def test_a_login_is_no_harm_where_it_runs_for_one_user() -> None:
    with FakeVendor(server := FakeInvokeAI()) as vendor:
        async with at(vendor.url, "ana@example.org:hunter2", keyName="INVOKEAI_LOGIN") as invoke:
            generation = await make(invoke, ID, request())

    assert len(generation.images) == 1
    assert server.logins == 1


# Through the tools


def size_of(told: dict[str, Any]) -> tuple[int, int]:
    with Image.open(told["images"][0]["path"]) as image:
        return image.size


async def test_pictures_edits_and_enlargements_come_through_the_tools(tmp_path: Path) -> None:
    server = FakeInvokeAI(records=[SD1, UPSCALER])
    async with provider(server) as invoke, client(service(tmp_path, invoke)) as mcp:
        words = {"prompt": "a fox", "seed": 3, "width": 128, "height": 64, "num_images": 2}
        first = data(await mcp.call_tool("generate_image", words))
        path = first["images"][0]["path"]
        wider = {"image": path, "expand": "64,0,0,0", "prompt": "more"}
        edited = data(await mcp.call_tool("edit_image", wider))
        more = {"image": path, "upscale": 2, "provider": "invokeai"}
        large = data(await mcp.call_tool("process_image", more))

    assert [size_of(told) for told in (first, edited, large)] == [(128, 64), (192, 64), (256, 128)]
    assert [image["seed"] for image in first["images"]] == [3, 4]
    assert "mask" in server.batches[1]["graph"]["nodes"]


async def test_a_picture_of_another_size_than_was_asked_is_a_failure(tmp_path: Path) -> None:
    server = FakeInvokeAI(records=[SD1], size=(256, 256))
    async with provider(server) as invoke, client(service(tmp_path, invoke)) as mcp:
        result = await mcp.call_tool("generate_image", {"prompt": "a fox"})

    assert result.is_error
    assert "256x256" in said(result)


async def test_cancel_job_stops_it_on_the_server_within_two_seconds(tmp_path: Path) -> None:
    server = FakeInvokeAI(records=[SD1], endings=["hangs"])
    async with provider(server) as invoke, client(service(tmp_path, invoke)) as mcp:
        job = data(await mcp.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 0}))
        with anyio.fail_after(20):
            while not any(item.status == "in_progress" for item in server.items):
                await anyio.sleep(0.01)
        with anyio.fail_after(2):
            await mcp.call_tool("cancel_job", {"job_id": job["job_id"]})
            while server.items[0].status != "canceled":
                await anyio.sleep(0.01)

    assert len(server.batches) == 1


async def test_a_job_outlives_a_restart_of_invokeai(tmp_path: Path) -> None:
    server = FakeInvokeAI(records=[SD1], endings=["hangs"])
    restarted = False

    def script(seen: Seen) -> Reply:
        nonlocal restarted
        if not restarted and any(item.status == "in_progress" for item in server.items):
            restarted = True
            server.clear()
            server.endings = []
        return server(seen)

    with FakeVendor(script) as vendor:
        async with at(vendor.url) as invoke, client(service(tmp_path, invoke)) as mcp:
            told = data(await mcp.call_tool("generate_image", {"prompt": "a fox"}))

    assert len(told["images"]) == 1
    assert len(server.batches) == 2
