"""Keep the pictures of one attempt, so that keeping them twice is keeping them once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from ziggie_image_mcp.assets.contract import AssetContract
from ziggie_image_mcp.assets.finish import finish as finish_pictures
from ziggie_image_mcp.assets.keying import is_cut_out
from ziggie_image_mcp.assets.region import put_back
from ziggie_image_mcp.errors import (
    ImageNotFound,
    InvalidOutput,
    InvalidRequest,
    StorageError,
)
from ziggie_image_mcp.jobs.asset_contracts import (
    SheetFiles,
    contract_of,
    keep_contract,
    measured,
    prove_contract,
)
from ziggie_image_mcp.jobs.exporting import kept_format
from ziggie_image_mcp.jobs.finishing import described, finish_of, needs_lossless
from ziggie_image_mcp.jobs.owners import mark_of_job
from ziggie_image_mcp.provider.bounds import most_pixels
from ziggie_image_mcp.provider.capabilities import OutputFormat
from ziggie_image_mcp.provider.nouns import Generation, Model, options_of
from ziggie_image_mcp.provider.pictures import is_transparent
from ziggie_image_mcp.provider.pricing import Cost, PriceBook, is_free, price_source
from ziggie_image_mcp.provider.seams import SEAMLESS, seam
from ziggie_image_mcp.provider.sizes import Size, is_exact, keeps_shape
from ziggie_image_mcp.routing.request import ImageRequest, is_processing
from ziggie_image_mcp.routing.types import Candidate
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.input_images import opened
from ziggie_image_mcp.storage.picture_ids import picture_id
from ziggie_image_mcp.storage.side_files import no_side_files
from ziggie_image_mcp.storage.types import Recipe, StoredImage

if TYPE_CHECKING:
    from PIL import Image


LOSSY = "jpeg is lossy: what the mask keeps differs a little from the image; ask for png or webp"
OWN_ALPHA = "the model gave no transparency: the picture's own was enlarged and put back"
FLATTENED = "jpeg has no transparency: what was transparent is white; ask for png or webp"


async def persist(
    artifacts: ArtifactStore,
    generation: Generation,
    name: str,
    day: date,
    request: ImageRequest,
    route: Candidate,
) -> tuple[list[StoredImage], tuple[str, ...]]:
    """Check and save what the attempt called `name` gave; the pictures, and notes about them.

    What a mask leaves alone, and what lies outside the part that was worked on, is put back.

    Raises:
        InvalidOutput: There are too many or too few pictures, one is none, or one has another size
            than it was asked for.
        StorageError: One could not be written.
    """
    model, sent = route.model, route.request
    count, expected = len(generation.images), sent.num_images
    if not 1 <= count <= expected:
        raise InvalidOutput(
            model.provider, f"{model.provider} returned {count} pictures of {expected}."
        )
    notes = list(generation.notes)
    if count < expected:
        notes.insert(0, f"{count} of {expected} pictures were made")
    if "seed" not in options_of(model, sent.task) and request.seed is not None:
        notes.append(f"{model.id} takes no seed: the one given here does not make it again")
    if not is_free(model.prices):
        notes += _about_cost(generation.cost, model)
    contract = contract_of(request)
    kind = await anyio.to_thread.run_sync(_format, artifacts, request, contract)
    if sent.mask_id and kind == "jpeg":
        notes.append(LOSSY)
    if request.remove_background and sent.task == "upscale":
        notes.append("its flat ground was keyed before it was enlarged")
    finisher = partial(_finisher, artifacts, request, route, kind, notes, contract)
    finish = await anyio.to_thread.run_sync(finisher)
    extra = {
        "Sampler": sent.sampler,
        "Schedule type": sent.scheduler,
        "Denoising strength": "" if sent.strength is None else f"{sent.strength:g}",
        "Image": sent.image_id,
        "Mask": sent.mask_id,
        "References": " ".join(sent.reference_ids),
        "Loras": " ".join(f"<lora:{lora.id}:{lora.weight:g}>" for lora in sent.loras),
        "Control": " ".join(
            f"{'make-' if c.compute else ''}{c.kind}:{c.image_id}:{c.weight:g}"
            for c in sent.control
        ),
        "Sent prompt": sent.prompt if sent.prompt != request.prompt else "",
        "Transparent": "yes" if request.transparent else "",
        "Ground": route.emulation.ground,
        "Seamless": "yes" if request.seamless and not is_processing(request) else "",
        "Style": request.applied_style.name if request.applied_style else sent.style,
        "Process": described(request) if is_processing(request) else "",
        "Asset": request.asset,
    }
    prove = None
    if contract is not None:
        prove = partial(prove_contract, contract=contract, provider=model.provider)
    images: list[StoredImage] = []
    spoilt: list[InvalidOutput] = []
    for i, image in enumerate(generation.images):
        recipe = Recipe(
            prompt=request.prompt,
            negative_prompt=sent.negative_prompt,
            provider=model.provider,
            model=model.id,
            seed=image.seed,
            steps=sent.steps,
            guidance_scale=sent.guidance_scale,
            width=sent.width if route.placement is None else route.placement.image_width,
            height=sent.height if route.placement is None else route.placement.image_height,
            extra={key: value for key, value in extra.items() if value},
        )
        beside = None if contract is None else SheetFiles(contract, finish, notes)
        save = partial(
            artifacts.save,
            image.data,
            recipe,
            format=kind,
            hint=request.file_name,
            image_id=image_id_of(name, i, day, mark_of_job(name)),
            finish=finish if beside is None else beside.finish,
            side_files=no_side_files if beside is None else beside.files,
            prove=prove,
            lossless=bool(sent.mask_id)
            or needs_lossless(request)
            or (contract is not None and contract.is_pixel_exact),
            max_pixels=most_pixels(sent),
        )
        try:
            stored = await anyio.to_thread.run_sync(save)
            images.append(stored)
            if extra["Seamless"]:
                notes.append(await anyio.to_thread.run_sync(about_seam, artifacts, stored.id))
        except (InvalidOutput, InvalidRequest) as e:
            if is_free(model.prices):
                raise
            raw_id = image_id_of(f"{name}.raw", i, day, mark_of_job(name))
            raw = partial(_keep_raw, artifacts, image.data, recipe, raw_id, most_pixels(sent))
            kept = await anyio.to_thread.run_sync(raw)
            spoilt.append(InvalidOutput(model.provider, f"{e}{kept}", fallback=_may_go_on(e)))
    if not images:
        raise spoilt[0]
    if spoilt:
        notes.append(f"{len(spoilt)} of {count} pictures could not be kept as asked: {spoilt[0]}")
    return images, tuple(dict.fromkeys(notes))


def _may_go_on(error: InvalidOutput | InvalidRequest) -> bool:
    """Whether another route may do better: not where what was asked cannot be had."""
    return isinstance(error, InvalidOutput) and error.fallback


def _keep_raw(
    artifacts: ArtifactStore, data: bytes, recipe: Recipe, image_id: str, max_pixels: int
) -> str:
    """Save a paid picture that is not what was asked, as it came, and say where; if it is one."""
    try:
        kept = artifacts.save(
            data,
            recipe,
            format="png",
            hint="as-it-came",
            image_id=image_id,
            max_pixels=max_pixels,
        )
    except (InvalidOutput, StorageError):  # what is wrong with it is said already
        return ""
    return f" It is paid for, and kept as it came: {kept.path} ({kept.id})."


def _format(
    artifacts: ArtifactStore, request: ImageRequest, contract: AssetContract | None
) -> OutputFormat:
    """The format that was asked for; else the usual one, if it keeps what is asked."""
    kept = kept_format(request)
    if kept is not None:
        return kept
    if contract is not None and "unity" in contract.sheet:
        return "png"
    if artifacts.format != "jpeg":
        return artifacts.format
    if request.transparent or request.remove_background:
        return "png"
    if contract is not None and contract.is_pixel_exact:
        return "png"
    enlarged = request.image if request.upscale is not None else None
    is_cut_out = enlarged is not None and is_transparent(opened(artifacts, enlarged.id))
    return "png" if is_cut_out else "jpeg"


def _finisher(
    artifacts: ArtifactStore,
    request: ImageRequest,
    route: Candidate,
    kind: OutputFormat,
    notes: list[str],
    contract: AssetContract | None,
) -> Callable[[Image.Image], Image.Image]:
    """What is done with each picture: it has the size that was sent, and is put into its whole."""
    sent, placement = route.request, route.placement
    wanted = finish_of(request) if is_processing(request) else None
    whole = mask = None
    if placement is not None:
        whole = opened(artifacts, sent.image_id)
        mask = opened(artifacts, sent.mask_id) if sent.mask_id else None

    def finish(picture: Image.Image) -> Image.Image:
        _check_size(Size(*picture.size), route, notes)
        if sent.task == "upscale" and not is_transparent(picture):
            source = opened(artifacts, sent.image_id)
            if is_transparent(source):
                picture = _with_alpha_of(source, picture)
                notes.append(OWN_ALPHA)
        if (request.transparent or request.remove_background) and not is_cut_out(picture):
            provider = route.model.provider
            raise InvalidOutput(
                provider, f"{provider} made a picture of which nothing is transparent."
            )
        if placement is not None and whole is not None:
            picture = put_back(whole, mask, picture, placement)
        if wanted is not None:
            done = finish_pictures([picture], wanted)[0]
            picture = done.image
            notes.extend(done.proofs)
        if contract is not None:
            picture = keep_contract(picture, contract, route.model.provider)
        if kind == "jpeg" and is_transparent(picture):
            notes.append(FLATTENED)
        return picture

    return finish


def _with_alpha_of(source: Image.Image, picture: Image.Image) -> Image.Image:
    """The picture with the transparency of the one that it was made of."""
    from PIL import Image

    alpha = source.convert("RGBA").getchannel("A").resize(picture.size, Image.Resampling.BICUBIC)
    result = picture.convert("RGB")
    result.putalpha(alpha)
    return result


def about_seam(artifacts: ArtifactStore, image_id: str) -> str:
    """Whether the stored file tiles: a lossy format may undo what its pixels were."""
    steps = seam(opened(artifacts, image_id))
    state = "it tiles" if steps.tiles else "a seam may show"
    figures = f"{steps.across:.2f} left to right, {steps.down:.2f} top to bottom"
    return (
        f"{state}: steps over the edges by strong steps inside are {figures} ({SEAMLESS:g} tiles)"
    )


def _check_size(size: Size, route: Candidate, notes: list[str]) -> None:
    sent, provider = route.request, route.model.provider
    times = sent.factor or 1
    asked = Size(sent.width * times, sent.height * times)
    if size == asked:
        return
    capability = route.model.tasks.get(sent.task)
    if capability is None or is_exact(capability.sizes) or not keeps_shape(size, asked):
        what = f"{provider} made {size}, and {asked} was asked for."
        if is_free(route.model.prices):
            raise InvalidOutput(provider, what)
        if route.placement is not None and not keeps_shape(size, asked):
            what += " It is paid for, and cannot be put back into the picture."
            raise InvalidOutput(provider, what, fallback=False)
        notes.append(f"{what} It is kept, since it is paid for.")
        return
    if route.placement is None:
        notes.append(f"delivered as {size}, not {asked}")


def _about_cost(cost: Cost, model: Model) -> list[str]:
    """How it is known what was paid, where the vendor did not say the amount."""
    price = price_source(model.prices) if isinstance(model.prices, PriceBook) else "price"
    match cost.basis if cost.micro_usd is not None else "unknown":
        case "exact":
            return []
        case "computed":
            return [f"cost: the vendor's count at its {price}"]
        case "list":
            return [f"cost: the {price}; the vendor does not tell what it charges"]
        case "unknown":
            return ["cost: nobody tells, so the most that it may be counts as spent"]


async def find_persisted(
    artifacts: ArtifactStore, name: str, day: date, route: Candidate, request: ImageRequest
) -> list[StoredImage] | None:
    """The pictures that an earlier process saved for this attempt, when all are there."""
    for owner in dict.fromkeys((mark_of_job(name), "")):  # earlier versions wrote no mark
        images = await _persisted(artifacts, name, day, route, owner)
        if images is not None:
            with suppress(StorageError, InvalidOutput, ImageNotFound):
                images = await anyio.to_thread.run_sync(measured, images, artifacts, request)
            return images  # also without a file beside them that is gone: they are paid for
    return None


async def _persisted(
    artifacts: ArtifactStore, name: str, day: date, route: Candidate, owner: str
) -> list[StoredImage] | None:
    images: list[StoredImage] = []
    for i in range(route.request.num_images):
        honoured = "seed" in options_of(route.model, route.request.task)
        seed = (route.request.seed + i) % 2**32 if honoured else None
        try:
            find = partial(artifacts.stored, image_id_of(name, i, day, owner), seed)
            images.append(await anyio.to_thread.run_sync(find))
        except (StorageError, InvalidOutput):
            return None
    return images


def image_id_of(name: str, index: int, day: date, owner: str) -> str:
    """The same for the same picture of the same attempt, in whatever process."""
    return picture_id(day, hashlib.sha256(f"{name}.{index}".encode()).hexdigest()[:16], owner)
