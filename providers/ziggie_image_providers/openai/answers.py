"""Read the answers of OpenAI's images API, as it and the servers that copy it really give them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from ziggie_image_mcp.provider import Model, ProviderRequest
from ziggie_image_mcp.provider.pricing import Unit, computed_cost
from ziggie_image_mcp.provider.vendor import from_base64


class TokenDetails(BaseModel):
    """What a number of tokens is made of."""

    image_tokens: int = 0


class Usage(BaseModel):
    """The tokens that a request took, as the server says."""

    input_tokens: int
    output_tokens: int
    input_tokens_details: TokenDetails | None = None


def items_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of an answer, one for each picture.

    Raises:
        KeyError: There is no list of them.
        TypeError: It is no list.
    """
    return [item for item in body["data"] if isinstance(item, dict)]


def source_of(item: Mapping[str, Any]) -> bytes | str | None:
    """The picture of an entry, or its address, which may be relative; None where it has none."""
    data, url = from_base64(item.get("b64_json")), item.get("url")
    if data is not None or not isinstance(url, str) or not url:
        return data
    return from_base64(url) if url.lower().startswith("data:") else url


def filtered(item: Mapping[str, Any], key: str) -> list[str]:
    """For what Azure's filter withheld this picture, or (by another key) refused the prompt."""
    return list(dict.fromkeys(_filtered(item.get(key))))


def tokens(usage: object, request: ProviderRequest) -> list[tuple[Unit, float]]:
    """The tokens of an answer. A picture of none is no count: some servers fill in zeros."""
    try:
        counts = Usage.model_validate(usage)
    except ValidationError:
        return []
    if counts.output_tokens <= 0 or counts.input_tokens < 0:
        return []
    details, given = counts.input_tokens_details, request.image_id or request.reference_ids
    images = details.image_tokens if details else counts.input_tokens if given else 0
    return [
        ("text_token_in", max(0, counts.input_tokens - images)),
        ("image_token_in", images),
        ("image_token_out", counts.output_tokens),
    ]


def about_count(usage: object, request: ProviderRequest, model: Model) -> str:
    """Why a count of tokens was not what the pictures cost."""
    counts = tokens(usage, request)
    claim = computed_cost(counts, request, model).micro_usd if counts else None
    if claim is None or not 0 < claim < math.inf:
        return "the answer's count of tokens cannot be, so the list price counts"
    dollars = f"${claim / 1e6:,.4g}"
    return f"the answer counts {dollars} of tokens, above the price list, which counts instead"


def differences(body: Mapping[str, Any], request: ProviderRequest) -> Iterator[str]:
    """What the answer says to be otherwise than it was asked for."""
    size, asked = body.get("size"), f"{request.width}x{request.height}"
    if isinstance(size, str) and re.fullmatch(r"\d{2,5}x\d{2,5}", size) and size != asked:
        yield f"made in {size}, and {asked} was asked for"
    quality = body.get("quality")
    if isinstance(quality, str) and quality and request.quality not in ("", quality):
        yield f"made in quality {quality[:20]}, and {request.quality} was asked for"


def _filtered(results: object) -> Iterator[str]:
    if isinstance(results, list):
        for result in cast("list[object]", results):
            yield from _filtered(result)
    elif isinstance(results, dict):
        for name, result in cast("dict[str, object]", results).items():
            fields = cast("dict[str, object]", result) if isinstance(result, dict) else {}
            if fields.get("filtered"):
                yield name
            else:
                yield from _filtered(result)  # pyright: ignore[reportUnknownArgumentType]
