"""Complete the arguments of prompts and of the pictures' addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mcp import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.assets.contract import KINDS
from ziggie_image_mcp.assets.palettes import palette_names
from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.inventory.types import Survey
from ziggie_image_mcp.provider.nouns import Model
from ziggie_image_mcp.server.callers import caller, for_caller
from ziggie_image_mcp.server.mcp_server import ImageServer, Open

COMPLETIONS = 100
"""The protocol's most."""
SIDES = ("256", "512", "768", "1024", "1568")
"""Of pictures that are asked for by their address, pixels."""
SIZES = ("16x16", "32x32", "48x48", "64x64", "128x128", "256x256", "512x512")
SHAPES = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "21:9")

FromSurvey = Callable[[Survey, str], Iterable[str]]
"""Gives values out of what the providers list, for the provider that was named."""


def add_completions(server: ImageServer, opener: Open) -> None:
    """Add the completions to a server."""

    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        others = context.arguments if context and context.arguments else {}
        before, text = "", argument.value
        if argument.name == "loras":  # the last of several is written just now
            before, comma, text = text.rpartition(",")
            before += comma + " " * (len(text) - len(text.lstrip())) if comma else ""
        try:
            if isinstance(ref, ResourceTemplateReference):
                values = await _of_picture(opener, ref.uri, argument.name)
            else:
                values = await _of_prompt(opener, ref.name, argument.name, others)
        except ImageError as e:
            raise MCPError(INTERNAL_ERROR, for_caller(f"[{e.code}] {e}")) from e
        return _matching(values, text, before)

    add_completion: Any = server.completion  # it has no types
    add_completion()(complete)


async def _of_picture(opener: Open, uri: str, name: str) -> Iterable[str]:
    if not uri.startswith("image://"):
        return ()
    if name == "max":
        return SIDES
    if name != "image_id":
        return ()
    pictures = await (await opener()).newest(COMPLETIONS, caller())
    return [picture.id for picture in pictures]


async def _of_prompt(
    opener: Open, prompt: str, name: str, others: Mapping[str, str]
) -> Iterable[str]:
    if name not in _ARGUMENTS.get(prompt, ()):
        return ()
    if name in _FIXED:
        return _FIXED[name]
    if name == "palette":
        return palette_names()
    service: Service = await opener()
    if name == "style":
        return service.config.styles
    return _LISTED[name](await service.survey(), others.get("provider", ""))


def _models(survey: Survey, provider: str) -> Iterable[str]:
    return [model.id for model in _picture_models(survey) if provider in ("", model.provider)]


def _providers(survey: Survey, provider: str) -> Iterable[str]:
    return [model.provider for model in _picture_models(survey)]


def _loras(survey: Survey, provider: str) -> Iterable[str]:
    loras = (model for model in survey.additions if model.role == "lora")
    return [lora.id for lora in loras if provider in ("", lora.provider)]


def _picture_models(survey: Survey) -> list[Model]:
    return [model for model in survey.models if "text_to_image" in model.tasks]


_FIXED: Mapping[str, Iterable[str]] = {
    "kind": KINDS,
    "size": SIZES,
    "aspect_ratio": SHAPES,
}
_LISTED: Mapping[str, FromSurvey] = {"model": _models, "provider": _providers, "loras": _loras}
_ARGUMENTS = {
    "make_picture": ("model", "provider", "style", "aspect_ratio", "loras"),
    "make_assets": ("kind", "size", "palette", "style"),
    "make_in_style": ("style",),
}


def _matching(values: Iterable[str], text: str, before: str) -> Completion:
    """Those that begin so, then those that hold it, each once."""
    part = text.strip().lower().removeprefix("image://")
    fitting = [value for value in dict.fromkeys(values) if part in value.lower()]
    fitting.sort(key=lambda value: not value.lower().startswith(part))
    total = len(fitting)
    shown = [before + value for value in fitting[:COMPLETIONS]]
    return Completion(values=shown, total=total, has_more=total > COMPLETIONS)
