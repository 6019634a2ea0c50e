"""Make pictures with Google's Gemini picture models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    ContentRefused,
    Cost,
    Model,
    ModelMissing,
    PaymentRequired,
    ProviderInfo,
    ProviderRequest,
    ProviderUnavailable,
)
from ziggie_image_mcp.provider.error_rules import Rule, scrub
from ziggie_image_mcp.provider.fields import FieldRow, FieldVendor
from ziggie_image_mcp.provider.http import Answer, KeyHeader
from ziggie_image_mcp.provider.json_paths import objects, values
from ziggie_image_mcp.provider.pricing import UNKNOWN_COST, Unit, computed_cost
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, settings_for, table
from ziggie_image_mcp.provider.vendor import SyncVendor, from_base64

REFUSALS = frozenset(
    (
        "SAFETY",
        "IMAGE_SAFETY",
        "PROHIBITED_CONTENT",
        "IMAGE_PROHIBITED_CONTENT",
        "RECITATION",
        "IMAGE_RECITATION",
        "BLOCKLIST",
        "SPII",
        "ESCALATION",
        "MODEL_ARMOR",
    )
)
"""Reasons to finish that are refusals (google-genai 3.6.1, FinishReason)."""

LOCKED = "PUP_LIMITED_DISABLED"
"""The reason to finish that is about the account."""


class Gemini(FieldVendor, SyncVendor):
    """One request, one answer with one picture; what it cost is computed from its tokens."""

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Google Gemini: Nano Banana",
        key_names=("GEMINI_API_KEY",),
        home_page="https://aistudio.google.com/apikey",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = settings_for(
        "https://generativelanguage.googleapis.com", key="GEMINI_API_KEY", row=FieldRow
    )
    auth: ClassVar[tuple[KeyHeader, ...]] = (KeyHeader("x-goog-api-key", prefix=""),)
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, FieldRow)
    model_path: ClassVar[str] = "modelVersion"
    post: ClassVar[str] = "v1beta/models/{model}:generateContent"
    probe_path: ClassVar[str] = "v1beta/models?pageSize=1"
    max_body_bytes: ClassVar[int | None] = 20 * 2**20
    errors: ClassVar[tuple[Rule, ...]] = (
        Rule(
            status=400,
            match="API.?key",
            error=AuthenticationFailed,
            message="the key was refused; set a valid one with `ziggie-image-mcp keys set gemini`",
            quoted=False,
        ),
        Rule(
            status=402,
            error=PaymentRequired,
            message="the prepaid credit is used up; add some in AI Studio",
        ),
        Rule(
            status=404,
            error=ModelMissing,
            message="Gemini serves no such model; it may have been taken away",
        ),
        Rule(status=503, error=ProviderUnavailable, message="the model is overloaded"),
    )

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """The row's words, with the pictures' type beside each."""
        body = super().payload(request, model)
        for inline in objects(body, "contents[].parts[].inlineData"):
            inline["mimeType"] = "image/png"
        return body

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """The pictures among the parts; those of its thoughts are drafts.

        Raises:
            ContentRefused: It says so behind a status of success.
            AuthenticationFailed: The account may not make pictures.
        """
        body = answer.json()
        parts = objects(body, "candidates[].content.parts[]")
        found = [data for part in parts if (data := _picture(part)) is not None]
        if found:
            return found
        for blocked in values(body, "promptFeedback.blockReason"):
            raise ContentRefused(self.name, f"Gemini refused the prompt ({blocked})", charged=None)
        reasons = [str(reason) for reason in values(body, "candidates[].finishReason")]
        if LOCKED in reasons:
            what = f"this account may not make pictures ({LOCKED}); look at AI Studio"
            raise AuthenticationFailed(self.name, what, charged=None)
        words = next((str(w) for w in values(body, "candidates[].finishMessage")), "")
        if refused := next((reason for reason in reasons if reason in REFUSALS), ""):
            what = f"Gemini refused this ({refused}){f': {scrub(words)}' if words else ''}"
            raise ContentRefused(self.name, what, charged=None)
        return ()

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """Its tokens by the price of each kind; thoughts at the price of text that comes back."""
        usage = next(objects(answer.data(), "usageMetadata"), None)
        counts = _tokens(usage) if usage else ()
        return computed_cost(counts, request, model) if counts else UNKNOWN_COST


def _picture(part: Mapping[str, Any]) -> bytes | None:
    if part.get("thought") is True:
        return None
    return from_base64(next(values(part, "inlineData.data"), None))


def _tokens(usage: Mapping[str, Any]) -> Sequence[tuple[Unit, float]]:
    """What Gemini counted; nothing where it counted in no way that can be priced.

    Without details all that came back counts as picture, which is the dearest.
    """
    prompt, back = _count(usage.get("promptTokenCount")), _count(usage.get("candidatesTokenCount"))
    thoughts = _count(usage.get("thoughtsTokenCount")) or 0
    if prompt is None or not back:
        return ()
    given = _of_pictures(usage.get("promptTokensDetails"))
    drawn = _of_pictures(usage.get("candidatesTokensDetails"))
    pictures_out = back if drawn is None else min(drawn, back)
    pictures_in = min(given or 0, prompt)
    return (
        ("text_token_in", prompt - pictures_in),
        ("image_token_in", pictures_in),
        ("image_token_out", pictures_out),
        ("text_token_out", back - pictures_out + thoughts),
    )


def _of_pictures(details: object) -> int | None:
    """The tokens of pictures among details; None where there are none at all."""
    counts = [
        _count(item.get("tokenCount")) or 0
        for item in objects({"details": details}, "details[]")
        if item.get("modality") == "IMAGE"
    ]
    return sum(counts) if counts else None


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
