"""Check what the pictures of an attempt show, where another seed may show it right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ziggie_image_mcp.assets import text_reading
from ziggie_image_mcp.errors import quote
from ziggie_image_mcp.routing.request import ImageRequest, is_processing
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.input_images import opened
from ziggie_image_mcp.storage.types import StoredImage

Verify = Literal["auto"] | bool
"""Of a check: where it is installed, always, or never."""


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
        install = f'pip install "ziggie-image-mcp[{text_reading.EXTRA}]"'
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
