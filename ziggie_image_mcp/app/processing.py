"""Process pictures: what needs no model is done here, the rest is left to a route.

The order is fixed: the ground is removed, then the picture is enlarged.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from urllib.parse import unquote, urlsplit

from ziggie_image_mcp.assets.keying import KeyedPicture, NotKeyed, remove_flat_ground
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.jobs.records import Result
from ziggie_image_mcp.provider import pictures
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.provider.pricing import FREE
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import check_request
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.input_images import InputImages, Reach
from ziggie_image_mcp.storage.picture_ids import named_id, picture_id, unquoted
from ziggie_image_mcp.storage.types import InputImage, Recipe

KEYING = Model(
    id="keying",
    provider="assets",
    where="this_machine",
    tasks={},
    prices=FREE,
    title="Flat grounds made transparent, without a model",
    license="MIT",
    commercial_use=True,
)
"""What stands in a result that no provider made."""

MAX_PICTURES = 16
MAX_KEYED_PIXELS = 40_000_000
"""Of all pictures of a call whose ground is removed: some seconds of work before it is a job."""

LEAST_PALE = 0.001
"""Of a picture: less that is pale is not told."""


@dataclass(frozen=True, kw_only=True)
class Processing:
    """What is to be done with some pictures."""

    requests: tuple[ImageRequest, ...] = ()
    """What needs a route."""
    cutouts: tuple[CutOut, ...] = ()
    """What was keyed, and is only to be kept."""
    remarks: tuple[str, ...] = ()
    """Why pictures that are to be cut out could not be keyed."""


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """A picture whose ground was keyed."""

    place: int
    """Among the pictures of the call; the requests have the others, in their order."""
    request: ImageRequest
    image: InputImage
    png: bytes
    why: str
    proof: str
    """What was measured on it."""
    seconds: float
    """That it took."""


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
    if len(names) > MAX_PICTURES:
        raise InvalidRequest("image", f"{len(names)} pictures", f"at most {MAX_PICTURES} at once")
    if request.upscale is None and not request.remove_background:
        fix = "say what to do: upscale or remove_background"
        raise InvalidRequest("upscale", request.upscale, fix)
    requests, cutouts, remarks = list[ImageRequest](), list[CutOut](), list[str]()
    routed = not keys or request.provider not in (None, "", "auto", "local")
    room = MAX_KEYED_PIXELS
    for place, name in enumerate(dict.fromkeys(names)):
        image = inputs.image(name, reach=reach)
        own = replace(request, image=image, file_name=request.file_name or _stem(name))
        check_request(own)
        if not request.remove_background or (routed and request.upscale is None):
            requests.append(own)
            continue
        if routed:
            fix = "one thing at a time where a provider is named: remove_background, then upscale"
            raise InvalidRequest("upscale", request.upscale, fix)
        room -= image.width * image.height
        if room < 0:
            fix = f"at most {MAX_KEYED_PIXELS / 1e6:.0f} million pixels at once: fewer pictures"
            raise InvalidRequest("image", f"{len(names)} pictures", fix)
        began = time.monotonic()
        keyed = remove_flat_ground(inputs.open(image))
        if isinstance(keyed, NotKeyed):
            remark = f"the ground of {PurePath(name).name} cannot be keyed: {keyed.message}"
            if request.upscale is not None:
                fix = f"{remark}; ask for remove_background alone, then enlarge its result"
                raise InvalidRequest("upscale", request.upscale, fix)
            requests.append(own)
            remarks.append(f"{remark[0].upper()}{remark[1:]}.")
        elif request.upscale is not None:
            requests.append(replace(own, image=inputs.keep(keyed.image, reach.owner or "")))
        else:
            cutouts.append(
                CutOut(
                    place=place,
                    request=own,
                    image=image,
                    png=pictures.to_png(keyed.image),
                    why=_why(keyed),
                    proof=_proof(keyed),
                    seconds=time.monotonic() - began,
                )
            )
    return Processing(requests=tuple(requests), cutouts=tuple(cutouts), remarks=tuple(remarks))


def keep(cutout: CutOut, store: ArtifactStore, owner: str) -> Result:
    """Save a keyed picture, with the mark of its owner, and say what was done.

    Raises:
        StorageError: It could not be written.
    """
    image = cutout.image
    recipe = Recipe(
        prompt="",
        negative_prompt="",
        provider=KEYING.provider,
        model=KEYING.id,
        seed=None,
        steps=None,
        guidance_scale=None,
        width=image.width,
        height=image.height,
        extra={"Image": image.id},
    )
    stored = store.save(
        cutout.png,
        recipe,
        format=cutout.request.output_format or "png",
        hint=cutout.request.file_name or "cut-out",
        image_id=picture_id(datetime.now(UTC), secrets.token_hex(8), owner),
    )
    return Result(
        images=(stored,),
        model=KEYING,
        request=ProviderRequest(
            task="remove_background",
            prompt="",
            width=image.width,
            height=image.height,
            image_id=image.id,
        ),
        requested_width=None,
        requested_height=None,
        why=cutout.why,
        attempts=(),
        notes=(cutout.proof,),
        cost_micro_usd=0,
        seconds=cutout.seconds,
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
    note = f"{alpha.transparent:.0%} of it is transparent, {alpha.partial:.1%} half so at the edges"
    if alpha.border_transparent < 1:
        note += f"; {1 - alpha.border_transparent:.0%} of its border is not"
    if keyed.pale > LEAST_PALE:
        note += (
            f"; {keyed.pale:.1%} is nearly of the ground's colour and was taken for ground: look "
            "whether a pale part is gone"
        )
    return note + "; hair, glass and soft shadows are beyond keying"
