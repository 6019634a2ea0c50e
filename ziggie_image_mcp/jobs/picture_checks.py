"""Check what the pictures of an attempt show, where another seed may show it right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ziggie_image_mcp.assets import text_reading, unsafe_check
from ziggie_image_mcp.errors import ContentRefused, DependencyMissing, quote
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_mcp.provider.nouns import Generation, Model
from ziggie_image_mcp.provider.pictures import decode
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.routing.request import ImageRequest, is_processing
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.input_images import opened
from ziggie_image_mcp.storage.types import StoredImage

Verify = Literal["auto"] | bool
"""Of a check: where it is installed, always, or never."""


def check_may_look(unsafe: bool) -> None:
    """Refuse to begin where pictures are to be checked for nudity, and cannot be.

    Raises:
        DependencyMissing: The extra is not installed.
    """
    if unsafe and not unsafe_check.is_installed():
        install = install_command(f"ziggie-image-mcp[{unsafe_check.EXTRA}]")
        message = f"verify.unsafe is true, and what checks pictures is not installed: {install}"
        raise DependencyMissing("verify", message)


def refuse_unsafe(generation: Generation, model: Model) -> None:
    """Refuse pictures in which nudity is seen, before any of them is kept.

    Raises:
        ContentRefused: Names what is seen.
    """
    for image in generation.images:
        try:
            picture = decode(image.data)
        except ValueError:
            continue  # what is no picture is refused where it would be kept
        if seen := unsafe_check.find_unsafe(picture):
            kept = "It is not kept" if is_free(model.prices) else "It is paid for and not kept"
            message = (
                f"verify.unsafe: the picture of {model.provider} shows {', '.join(seen)}. {kept}: "
                "ask for another one, or set verify.unsafe to false"
            )
            raise ContentRefused(model.provider, message)


def wrong_text(
    artifacts: ArtifactStore,
    request: ImageRequest,
    images: Sequence[StoredImage],
    verify: Verify,
    is_installed: Callable[[], bool] = text_reading.is_installed,
) -> tuple[str, str]:
    """What is wrong with the words in the pictures, and what is to be told where nothing is.

    Raises:
        StorageError: A picture is gone.
    """
    phrases = [] if is_processing(request) else text_reading.quoted_phrases(request.prompt)
    if verify is False or not phrases:
        return "", ""
    if not is_installed():
        install = install_command(f"ziggie-image-mcp[{text_reading.EXTRA}]")
        told = f"the words in quotes were not read back: {install}, or set verify.text: false"
        return "", told if verify is True else ""
    problems = list[str]()
    for number, image in enumerate(images, 1):
        lines = text_reading.read_lines(opened(artifacts, image.id))
        if missing := text_reading.missing_phrases(phrases, lines):
            which = f"picture {number}" if len(images) > 1 else "the picture"
            wanted = ", ".join(map(repr, missing))
            read = quote(repr(" / ".join(lines))) if lines else "no text"
            problems.append(f"{which} does not show {wanted}: {read} is read in it")
    if problems:
        return "; ".join(problems), ""
    return "", f"read back in the picture: {', '.join(map(repr, phrases))}"
