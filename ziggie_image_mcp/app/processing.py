"""Process pictures: what needs no model is done here, the rest is left to a route.

The order is fixed: the ground is removed, the picture is enlarged, then it is finished as `finish`
says, and last made into what `export` says. What a route makes is finished when it is kept.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ziggie_image_mcp.assets.export import Export, ExportedPicture, export
from ziggie_image_mcp.assets.finish import Finish, finish
from ziggie_image_mcp.assets.frames import Frame
from ziggie_image_mcp.assets.keying import (
    BEYOND,
    KeyedPicture,
    NotKeyed,
    describe_alpha,
    remove_flat_ground,
)
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.jobs import exporting, finishing
from ziggie_image_mcp.jobs.records import Result
from ziggie_image_mcp.provider import pictures
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.provider.pricing import FREE
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import check_request
from ziggie_image_mcp.storage.artifact_store import ArtifactStore, slug
from ziggie_image_mcp.storage.input_images import LEAST_SIDE, InputImages, Reach
from ziggie_image_mcp.storage.picture_ids import named_id, picture_id, unquoted
from ziggie_image_mcp.storage.side_files import SideFiles, no_side_files
from ziggie_image_mcp.storage.types import InputImage, Recipe, StoredImage

if TYPE_CHECKING:
    from PIL import Image

PROCESSING = Model(
    id="processing",
    provider="assets",
    where="this_machine",
    tasks={},
    prices=FREE,
    title="Pictures processed without a model",
    license="MIT",
    commercial_use=True,
)
"""What stands in a result that no provider made."""

MAX_PICTURES, MAX_PACKED = 16, 256
"""Of a call; of one whose pictures are packed into one result."""
MAX_PROCESSED_PIXELS = 40_000_000
"""Of all pictures of a call that are worked on here: some seconds of work before it is a job."""

WORK = (
    "remove_background, upscale, pixel_size, colors, palette, trim, pad, width, height, seamless, "
    "slice, sheet, animation, icons, output_format"
)
"""What may be asked for, in no order."""

LEAST_PALE = 0.001
"""Of a picture: less that is pale is not told."""


@dataclass(frozen=True, kw_only=True)
class Processing:
    """What is to be done with some pictures."""

    requests: tuple[ImageRequest, ...] = ()
    """What needs a route."""
    made: tuple[ProcessedPicture, ...] = ()
    """What was processed here, and is only to be kept."""
    suffixes: tuple[str, ...] = ()
    """Of the files that will stand beside each picture."""
    remarks: tuple[str, ...] = ()
    """Why pictures that are to be cut out could not be keyed."""


@dataclass(frozen=True, kw_only=True)
class ProcessedPicture:
    """What a picture was processed into, not kept yet."""

    place: int
    """Among the pictures of the call; the requests have the others, in their order."""
    request: ImageRequest
    images: tuple[InputImage, ...]
    """That it was made of: one, or all that are packed."""
    files: tuple[PictureFile, ...]
    why: str
    proofs: tuple[str, ...]
    """What was measured on it."""
    seconds: float
    """That it took."""


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """A picture that is to be kept, with what stands beside it."""

    png: bytes
    width: int
    height: int
    number: int | None = None
    """Of a frame, among those of its picture."""
    side_files: SideFiles = no_side_files


NOTHING = Processing()
"""Of a call that processes no pictures."""


def prepare(
    request: ImageRequest, names: Sequence[str], inputs: InputImages, *, reach: Reach, keys: bool
) -> Processing:
    """Take the pictures in, and key what can be keyed. Nothing is kept but what a route works from.

    Args:
        request: What is asked of each picture; its image is not looked at.
        names: Ids of the store, or paths.
        inputs: Takes them in.
        reach: What the caller may name.
        keys: False where all is switched off, as the route says then.

    A provider that is asked for by name gets all of it: nothing is keyed then.

    Raises:
        InvalidRequest: Nothing is asked for, one of them is no picture that will do, or is to be
            enlarged after a cut-out that keying cannot make.
        StorageError: The pictures cannot be kept.
    """
    if not names:
        raise InvalidRequest("image", "", "the id or path of a picture, or several with commas")
    check_request(replace(request, upscale=None, remove_background=False), processing=True)
    exported = exporting.export_of(request)
    packs = exported is not None and exported.packs
    most = MAX_PACKED if packs else MAX_PICTURES
    if len(names) > most:
        raise InvalidRequest("image", f"{len(names)} pictures", f"at most {most} at once")
    if exported is not None and request.upscale is not None:
        fix = "first upscale alone, then the rest with its result: a model makes it"
        raise InvalidRequest("upscale", request.upscale, fix)
    request, wanted = finishing.resolved(
        request, lambda path: inputs.file("palette", path, reach=reach)
    )
    if not (request.upscale or request.remove_background or wanted or exported):
        raise InvalidRequest("upscale", request.upscale, f"say what to do: {WORK}")
    requests, here, remarks = list[ImageRequest](), list[_Picture](), list[str]()
    routed = not keys or request.provider not in (None, "", "auto", "local")
    room = MAX_PROCESSED_PIXELS
    needs_model = request.upscale is not None or request.remove_background
    least_side = LEAST_SIDE if needs_model else 1
    for place, name in enumerate(names if packs else dict.fromkeys(names)):
        image = inputs.image(name, reach=reach, least_side=least_side)
        own = replace(request, image=image, file_name=request.file_name or _stem(name))
        check_request(own, processing=True)
        if request.upscale is not None and not request.remove_background:
            requests.append(own)
            continue
        if routed and request.remove_background:
            if request.upscale is not None:
                fix = (
                    "one thing at a time where a provider is named: remove_background, then upscale"
                )
                raise InvalidRequest("upscale", request.upscale, fix)
            requests.append(own)
            continue
        room -= image.width * image.height
        if room < 0:
            fix = f"at most {MAX_PROCESSED_PIXELS / 1e6:.0f} million pixels at once: fewer pictures"
            raise InvalidRequest("image", f"{len(names)} pictures", fix)
        began = time.monotonic()
        picture = _Picture(
            place=place,
            request=own,
            image=image,
            own_name=_stem(name) or inputs.hint_of(image),
            picture=inputs.open(image),
        )
        if request.remove_background:
            keyed = remove_flat_ground(picture.picture)
            if isinstance(keyed, NotKeyed):
                remark = f"the ground of {PurePath(name).name} cannot be keyed: {keyed.message}"
                if request.upscale is not None:
                    fix = f"{remark}; ask for remove_background alone, then enlarge its result"
                    raise InvalidRequest("upscale", request.upscale, fix)
                requests.append(own)
                remarks.append(f"{remark[0].upper()}{remark[1:]}.")
                continue
            if request.upscale is not None:
                kept = inputs.keep(keyed.image, reach.owner or "")
                requests.append(replace(own, image=kept))
                continue
            picture.picture, picture.why = keyed.image, _why(keyed)
            picture.proofs = (_proof(keyed),)
        picture.seconds = time.monotonic() - began
        here.append(picture)
    if exported is not None and requests:
        fix = f"first remove_background alone, then the rest with its result. {' '.join(remarks)}"
        raise InvalidRequest("remove_background", True, fix.strip())
    if wanted is not None and wanted.is_shared and requests and len(requests) + len(here) > 1:
        fix = "one picture at a time, or a named palette and the side of the cells, beside a model"
        raise InvalidRequest("image", f"{len(names)} pictures", fix)
    if wanted is not None:
        _finish(here, wanted)
    return Processing(
        requests=tuple(requests),
        made=tuple(_processed_all(here) if exported is None else _exported(here, exported)),
        remarks=tuple(remarks),
        suffixes=exported.suffixes if exported is not None else (),
    )


@dataclass(kw_only=True)
class _Picture:
    """A picture that is worked on here."""

    place: int
    request: ImageRequest
    image: InputImage
    own_name: str
    """Of its file; empty where it has none."""
    picture: Image.Image
    why: str = "finished without a model (local, free)"
    proofs: tuple[str, ...] = ()
    seconds: float = 0.0


def _finish(here: Sequence[_Picture], wanted: Finish) -> None:
    """Finish the pictures as ones that belong together."""
    if not here:
        return
    began = time.monotonic()
    finished = finish([one.picture for one in here], wanted)
    each = (time.monotonic() - began) / len(here)
    for one, done in zip(here, finished, strict=True):
        one.picture, one.proofs = done.image, (*one.proofs, *done.proofs)
        one.seconds += each


def _processed_all(here: Sequence[_Picture]) -> list[ProcessedPicture]:
    return [_processed([one], [ExportedPicture(source=0, image=one.picture)]) for one in here]


def _exported(here: Sequence[_Picture], wanted: Export) -> list[ProcessedPicture]:
    """What the finished pictures are made into: one result of each, or one of all."""
    began = time.monotonic()
    named = [Frame(name=_frame_name(one), image=one.picture) for one in here]
    made = export(named, wanted)
    each = (time.monotonic() - began) / len(here)
    for one in here:
        one.seconds += each
    if wanted.packs:
        return [_processed(here, made)]
    return [
        _processed([one], [part for part in made if part.source == i]) for i, one in enumerate(here)
    ]


def _processed(here: Sequence[_Picture], made: Sequence[ExportedPicture]) -> ProcessedPicture:
    first = here[0]
    proofs = [proof for one in here for proof in one.proofs]
    proofs += [proof for part in made for proof in part.proofs]
    return ProcessedPicture(
        place=first.place,
        request=first.request,
        images=tuple(one.image for one in here),
        files=tuple(_picture_file(part) for part in made),
        why=first.why,
        proofs=tuple(dict.fromkeys(proofs)),
        seconds=sum(one.seconds for one in here),
    )


def _picture_file(part: ExportedPicture) -> PictureFile:
    return PictureFile(
        png=pictures.to_png(part.image),
        width=part.image.width,
        height=part.image.height,
        number=part.number,
        side_files=part.side_files,
    )


def _frame_name(one: _Picture) -> str:
    """What the frames of a picture are called: as its file, or as the result is."""
    return slug(one.own_name or one.request.file_name or "frame")


def keep(made: ProcessedPicture, store: ArtifactStore, owner: str) -> Result:
    """Save what a picture was processed into, with the mark of its owner, and say what was done.

    Raises:
        StorageError: It could not be written.
    """
    image, request = made.images[0], made.request
    return Result(
        images=tuple(_keep_file(made, file, store, owner) for file in made.files),
        model=PROCESSING,
        request=ProviderRequest(
            task="remove_background" if request.remove_background else "image_to_image",
            prompt="",
            width=image.width,
            height=image.height,
            image_id=image.id,
        ),
        requested_width=request.width,
        requested_height=request.height,
        why=made.why,
        attempts=(),
        notes=made.proofs,
        cost_micro_usd=0,
        seconds=made.seconds,
    )


def _keep_file(
    made: ProcessedPicture, file: PictureFile, store: ArtifactStore, owner: str
) -> StoredImage:
    request = made.request
    steps = finishing.described(request)
    sources = " ".join(dict.fromkeys(image.id for image in made.images))
    recipe = Recipe(
        prompt="",
        negative_prompt="",
        provider=PROCESSING.provider,
        model=PROCESSING.id,
        seed=None,
        steps=None,
        guidance_scale=None,
        width=file.width,
        height=file.height,
        extra={"Image": sources} | ({"Process": steps} if steps else {}),
    )
    hint = request.file_name or ("cut-out" if request.remove_background else "processed")
    return store.save(
        file.png,
        recipe,
        format=exporting.kept_format(request) or "png",
        hint=hint if file.number is None else f"{hint}-{file.number}",
        image_id=picture_id(datetime.now(UTC), secrets.token_hex(8), owner),
        lossless=finishing.needs_lossless(request),
        side_files=file.side_files,
        may_be_blank=file.number is not None,
    )


def _stem(name: str) -> str:
    """How a result is called where nobody says it: as its file."""
    if named_id(name) is not None or name.lstrip()[:5].lower() == "data:":
        return ""
    return PurePath(unquote(urlsplit(unquoted(name)).path)).stem


def _why(keyed: KeyedPicture) -> str:
    if keyed.ground is None:
        return "its ground is transparent already, so nothing was changed (local, free)"
    red, green, blue = keyed.ground
    return (
        f"its ground is flat, #{red:02x}{green:02x}{blue:02x}: keyed without a model (local, free)"
    )


def _proof(keyed: KeyedPicture) -> str:
    """What was measured on the result."""
    alpha = keyed.alpha
    note = describe_alpha(alpha)
    if alpha.border_transparent < 1:
        note += f"; {1 - alpha.border_transparent:.0%} of its border is not"
    if keyed.pale > LEAST_PALE:
        note += (
            f"; {keyed.pale:.1%} is nearly of the ground's colour and was taken for ground: look "
            "whether a pale part is gone"
        )
    return f"{note}; {BEYOND}"
