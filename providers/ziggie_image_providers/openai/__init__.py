"""Make pictures with OpenAI's images API, or with a server that speaks it."""

from __future__ import annotations

import base64
import binascii
import io
import itertools
import json
import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import anyio
import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ContentRefused,
    InvalidOutput,
    ModelMissing,
    OutcomeUnknown,
    PaymentRequired,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider import http as _http
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.types import (
    Feature,
    GeneratedImage,
    Generation,
    Model,
    Progress,
    ProviderRequest,
    Submission,
)
from ziggie_image_providers.openai import settings as section
from ziggie_image_providers.openai.settings import Quality, Row

DEFAULT_SECONDS = 300.0
CONNECT_SECONDS = 10.0
PROMPT_TOKENS = 500
"""Tokens of a prompt that the upper bound of a price makes room for."""
MAX_ANSWER_BYTES = 400 * 2**20
"""Ten pictures of 30 MB as base64, with room."""

_FEATURES: frozenset[Feature] = frozenset(("text_to_image",))
_EDITS: frozenset[Feature] = frozenset(("image_to_image", "inpaint"))
MASK_NOTE = "the model draws the whole picture anew: what the mask keeps may differ a little"
_NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_REFUSED = ("moderation_blocked", "content_policy_violation")


class Picture(BaseModel):
    """One picture of an answer."""

    b64_json: str | None = None


class TokenDetails(BaseModel):
    """What a number of tokens is made of."""

    text_tokens: int = 0
    image_tokens: int = 0


class Usage(BaseModel):
    """The tokens that a request took."""

    input_tokens: int
    output_tokens: int
    input_tokens_details: TokenDetails | None = None


class Answer(BaseModel):
    """A successful answer."""

    data: list[Picture]
    usage: Usage | None = None


class Problem(BaseModel):
    """What a failing answer says of itself."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    code: str | None = None
    type: str | None = None
    message: str | None = None


class OpenAI:
    """OpenAI's images API: one request, one answer, nothing to look up afterwards."""

    Settings: ClassVar[type[BaseModel]] = section.Settings
    summary: ClassVar[str] = "OpenAI: GPT Image models, and servers that speak its images API"
    automatic: ClassVar[bool] = False
    key_name: ClassVar[str] = "OPENAI_API_KEY"

    def __init__(
        self,
        name: str,
        settings: section.Settings,
        context: ProviderContext,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._context = context
        self._rows = section.rows(settings)
        self._seconds = settings.timeout or context.timeout or DEFAULT_SECONDS
        self._transport = transport
        self._client: httpx2.AsyncClient | None = None

    async def models(self) -> Sequence[Model]:
        """List the models of the table and of the config. Asks nobody but for the key."""
        await self._key()
        return [self._model(id, row) for id, row in self._rows.items()]

    async def submit(self, request: ProviderRequest, model: Model, key: str) -> Submission:
        """Send the job and wait for its pictures. There is no idempotency key to send."""
        secret = await self._key()
        row = self._rows.get(model.id, Row())
        self._check(request, row)
        body = payload(request, model, self._settings.quality)
        status, content = await self._post(request, body, secret)
        try:
            answer = Answer.model_validate_json(content)
        except ValidationError as e:
            raise self._unknown(f"answered HTTP {status}, but not in the images API's words") from e
        images = [
            GeneratedImage(data=data, seed=None)
            for picture in answer.data
            if (data := _decoded(picture)) is not None
        ]
        if not images:
            if answer.usage is None:
                raise self._unknown("answered without a picture")
            charged, _ = self._cost(request, row, answer.usage, request.num_images)
            said = f"{self.name} counted tokens for this, and answered without a picture."
            raise InvalidOutput(self.name, said, charged)
        notes = [f"{model.id} takes no seed: the seed given here does not make this picture again"]
        if request.mask is not None:
            notes.append(MASK_NOTE)
        if len(images) < request.num_images:
            notes.append(f"{self.name} made {len(images)} of {request.num_images} pictures")
        cost, how = self._cost(request, row, answer.usage, len(images))
        return Submission(
            generation=Generation(images=tuple(images), notes=(*notes, how), cost_micro_usd=cost)
        )

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, progress: Progress
    ) -> Generation:
        """Nothing to wait for: `submit` gave the pictures, or nobody has them."""
        raise self._unknown("keeps no pictures to fetch later")

    async def find(self, key: str) -> str | None:
        """Nothing to look up: OpenAI knows no key of ours, and keeps no list of pictures."""
        raise self._unknown("cannot look up whether a request was made")

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _model(self, id: str, row: Row) -> Model:
        quality = self._settings.quality
        return Model(
            id=id,
            provider=self.name,
            local=False,
            title=row.title,
            aliases=row.aliases,
            features=_FEATURES | _EDITS if row.edits else _FEATURES,
            native_width=row.native_width,
            native_height=row.native_height,
            min_side=row.min_side,
            max_side=row.max_side,
            multiple_of=row.multiple_of,
            min_pixels=row.min_pixels,
            max_pixels=row.max_pixels,
            max_images=row.max_images,
            license=row.license,
            commercial_use=row.commercial_use,
            price_micro_usd=bound(row, quality),
            price_by_pixels=steps(row, quality),
            price_of_given_micro_usd=given_bound(row),
            price_as_of=row.as_of,
        )

    async def _key(self) -> str:
        name = self._settings.key_name
        if name is None:
            return ""
        secret = await self._context.secret(name)
        how = (
            f"run `ziggie-image-mcp keys set {name}`, or set {name} in the MCP client's own"
            " config: many clients do not pass on the shell's environment"
        )
        if not secret:
            raise AuthenticationFailed(self.name, f"there is no key in {name}; {how}")
        if not secret.isascii() or not secret.isprintable() or " " in secret:
            raise AuthenticationFailed(self.name, f"what {name} holds is no key; {how}")
        return secret

    def _check(self, request: ProviderRequest, row: Row) -> None:
        """Refuse what the vendor would, before anything is sent."""
        pixels, sides = request.width * request.height, sorted((request.width, request.height))
        size = f"{request.width}x{request.height}"
        if not row.min_pixels <= pixels <= row.max_pixels:
            raise RequestRejected(
                self.name,
                f"{size} has {pixels:,} pixels, and {row.min_pixels:,} to {row.max_pixels:,} are"
                " possible; ask for another size",
            )
        if sides[1] > row.max_ratio * sides[0]:
            raise RequestRejected(
                self.name,
                f"{size} is longer than {row.max_ratio:g}:1; ask for another shape",
            )

    async def _post(
        self, request: ProviderRequest, body: dict[str, Any], secret: str
    ) -> tuple[int, bytes]:
        task = "generations" if request.image is None else "edits"
        url = f"{self._settings.base_url}/images/{task}"
        headers = {
            "OpenAI-Organization": self._settings.organization or "",
            "OpenAI-Project": self._settings.project or "",
            "Authorization": f"Bearer {secret}" if secret else "",
        }
        client = self._open()
        try:
            with anyio.fail_after(self._seconds):
                async with client.stream(
                    "POST",
                    url,
                    json=body if request.image is None else None,
                    data=None if request.image is None else {k: str(v) for k, v in body.items()},
                    files=pictures(request),
                    headers={k: v for k, v in headers.items() if v},
                ) as response:
                    content = await self._read(response)
        except _http.NOT_SENT as e:
            raise _http.transport_error(self.name, e, url) from e
        except TimeoutError as e:
            raise self._unknown(f"did not answer within {self._seconds:g} s") from e
        except httpx2.RequestError as e:
            raise self._unknown(f"broke off ({type(e).__name__})") from e
        if not response.is_success:
            raise self._refusal(response, content, secret)
        return response.status_code, content

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                transport=self._transport,
                timeout=httpx2.Timeout(self._seconds, connect=CONNECT_SECONDS),
                follow_redirects=False,
            )
        return self._client

    async def _read(self, response: httpx2.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise self._unknown(f"sent more than {MAX_ANSWER_BYTES / 2**20:.0f} MB")
        return bytes(content)

    def _refusal(self, response: httpx2.Response, content: bytes, secret: str) -> ProviderError:
        """Say what a failing answer means; the code in it counts for more than the status."""
        status, problem = response.status_code, _problem(content)
        known = {problem.code, problem.type}
        said = _quoted(problem.message, secret)
        key = self._settings.key_name or "a key"
        if known.intersection(_NO_CREDIT) or status == 402:
            return PaymentRequired(
                self.name, f"the account of {key} has no credit left, or its limit is reached{said}"
            )
        if known.intersection(_REFUSED):
            return ContentRefused(self.name, f"the safety system refused this prompt{said}")
        if status == 401:  # not quoted: OpenAI repeats a part of the key
            return AuthenticationFailed(
                self.name,
                f"the key in {key} was refused (HTTP 401); set a valid one with"
                f" `ziggie-image-mcp keys set {key}`",
            )
        if problem.code == "model_not_found":
            return ModelMissing(self.name, f"the account of {key} has no such model{said}")
        if status == 403:
            return AuthenticationFailed(
                self.name,
                f"the account of {key} may not do this (HTTP 403); it may need verifying{said}",
            )
        if status == 429:
            wait = _milliseconds(response) or _http.retry_after(response)
            when = f"in {wait:.0f} s" if wait is not None else "later"
            return RateLimited(self.name, f"asks to wait (HTTP 429); try again {when}{said}", wait)
        if status == 408 or status >= 500:
            return self._unknown(f"failed after the request was sent (HTTP {status}{said})")
        if response.is_redirect:
            return ProviderUnavailable(
                self.name,
                f"{_http.public_url(response.request.url)} leads elsewhere (HTTP {status});"
                " correct the base URL",
            )
        return _http.status_error(self.name, response, said.removeprefix(": "))

    def _unknown(self, what: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            self.name,
            f"{_http.public_url(self._settings.base_url)} {what}. Nobody can tell whether pictures"
            " were made and charged, so nothing is sent again; the vendor's usage page knows.",
        )

    def _cost(
        self, request: ProviderRequest, row: Row, usage: Usage | None, images: int
    ) -> tuple[int, str]:
        """What the pictures cost, 1e-6 USD, and how that is known."""
        if usage is not None and row.tokens is not None:
            details = usage.input_tokens_details
            from_image = details.image_tokens if details else 0
            dollars = (
                max(0, usage.input_tokens - from_image) * row.tokens.text_in
                + from_image * row.tokens.image_in
                + usage.output_tokens * row.tokens.image_out
            )
            how = f"the vendor's count of tokens at its list price of {row.as_of or 'your config'}"
            return math.ceil(dollars), f"cost: {how}"
        one = bound(row, self._settings.quality, request.width, request.height)
        if one is None:
            return 0, "cost: unknown, because this model has no price; set priceUsd for it"
        given = given_bound(row) if request.image is not None else 0
        how = "cost: the price table's upper bound; the vendor did not tell more"
        return one * images + given, how


def payload(request: ProviderRequest, model: Model, quality: Quality) -> dict[str, Any]:
    """Say the job in the API's words. GPT Image models refuse `response_format`."""
    return {
        "model": model.id,
        "prompt": request.prompt,
        "n": request.num_images,
        "size": f"{request.width}x{request.height}",
        "quality": quality,
        "output_format": "png",
    }


def pictures(request: ProviderRequest) -> dict[str, tuple[str, bytes, str]] | None:
    """The files of an edit's form; None for a picture from text alone."""
    if request.image is None:
        return None
    files = {"image": ("image.png", request.image, "image/png")}
    if request.mask is not None:
        files["mask"] = ("mask.png", transparent(request.mask), "image/png")
    return files


def transparent(mask: bytes) -> bytes:
    """A mask in OpenAI's words: transparent where the picture is painted anew."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(mask)) as grey:
        alpha = ImageOps.invert(grey.convert("L"))
    out = io.BytesIO()
    Image.merge("LA", (Image.new("L", alpha.size), alpha)).convert("RGBA").save(out, "PNG")
    return out.getvalue()


def given_bound(row: Row) -> int:
    """The most that a picture to work from adds, 1e-6 USD."""
    if row.price_usd is not None or row.tokens is None:
        return 0
    return math.ceil(row.image_tokens * row.tokens.image_in)


def bound(
    row: Row, quality: Quality, width: int | None = None, height: int | None = None
) -> int | None:
    """The most that one picture costs, 1e-6 USD; without a size, at any size that is accepted."""
    if row.price_usd is not None:
        return _micro(row.price_usd)
    wanted = row.max_pixels if width is None or height is None else width * height
    return next((price for pixels, price in steps(row, quality) if pixels >= wanted), None)


def steps(row: Row, quality: Quality) -> tuple[tuple[int, int], ...]:
    """What a picture of at most so many pixels costs at most, 1e-6 USD, the smallest first.

    A size that stands not in the table costs at most what the sizes up to the next larger one do:
    1024x1024 is dearer than 1920x1080. A prompt of more than PROMPT_TOKENS costs more.
    """
    if row.price_usd is not None:
        return ()
    listed = sorted(
        (math.prod(int(side) for side in size.split("x")), price)
        for size, price in row.prices.get(quality, {}).items()
    )
    prompt = PROMPT_TOKENS * row.tokens.text_in if row.tokens else 0.0
    highest = itertools.accumulate((price for _, price in listed), max)
    return tuple(
        (pixels, math.ceil(_micro(price) + prompt))
        for (pixels, _), price in zip(listed, highest, strict=True)
    )


def _micro(dollars: float) -> int:
    return math.ceil(round(dollars * 1e6, 3))


def _decoded(picture: Picture) -> bytes | None:
    try:
        return base64.b64decode(picture.b64_json or "", validate=True) or None
    except binascii.Error:
        return None


def _problem(content: bytes) -> Problem:
    try:
        found: Any = json.loads(content)
        return Problem.model_validate(found["error"])
    except (ValueError, KeyError, TypeError):
        return Problem()


def _quoted(message: str | None, secret: str) -> str:
    """The vendor's own words as the end of a sentence: one short line without any key."""
    line = " ".join((message or "").split())
    line = "".join(c for c in line if c.isprintable())
    if secret:
        line = line.replace(secret, "***")
    line = re.sub(r"\b(sk|key|sess)-[\w*.-]{6,}", "***", line)
    return f": {line[:200]}" if line else ""


def _milliseconds(response: httpx2.Response) -> float | None:
    try:
        wait = float(response.headers.get("retry-after-ms", "")) / 1000
    except ValueError:
        return None
    return wait if 0 <= wait < math.inf else None
