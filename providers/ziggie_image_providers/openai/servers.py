"""Ask a server of one's own which it is, and which of its models make pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from ziggie_image_mcp.provider import ProviderUnavailable
from ziggie_image_mcp.provider.http import HttpClient
from ziggie_image_providers.openai.failures import NoPictures
from ziggie_image_providers.openai.flavours import Flavour, flavours, has
from ziggie_image_providers.openai.settings import Row

NO_ROUTE = (400, 404, 405, 501)
"""How a server answers that has no such list."""

LISTING_SECONDS = 20.0

USUAL_FACTOR = 4
"""Of upscalers whose id does not tell."""

Item = dict[str, Any]
"""A model as a server lists it, with its id under `id`."""


class Server:
    """One server.

    Args:
        name: The provider's name.
        http: The connections to it.
        seconds: What an answer may take at most.
    """

    def __init__(self, name: str, http: HttpClient, seconds: float) -> None:
        self._name = name
        self._http = http
        self._seconds = min(LISTING_SECONDS, seconds)
        self._root = re.sub(r"(/api)?/v1$", "", http.url)

    async def recognise(self) -> str:
        """The name of its flavour, by what it lists.

        Raises:
            ProviderError: It does not answer.
        """
        listings: dict[str, list[Item]] = {}
        for name, flavour in flavours().items():
            if not flavour.sign:
                continue
            if flavour.listing not in listings:
                listings[flavour.listing] = await self.items(flavour.listing)
            if any(has(item, flavour.sign) for item in listings[flavour.listing]):
                return name
        return "compatible"

    async def check(self, flavour: Flavour) -> None:
        """See that it makes pictures, where servers of this kind do not all do so.

        Raises:
            NoPictures: It does not.
            ProviderError: It does not answer.
        """
        why = f"at {self._http.url}: {flavour.without}"
        if flavour.title and not flavour.tasks:
            raise NoPictures(self._name, why)
        if flavour.route:
            answer = await self._http.get(flavour.route, accept=NO_ROUTE, seconds=self._seconds)
            if answer.status == 404:
                raise NoPictures(self._name, why)
        if flavour.version:
            path = self._path(flavour.version.path)
            answer = await self._http.get(path, accept=NO_ROUTE, seconds=self._seconds)
            version = _numbers(answer.data().get("version"))
            first, beyond = _numbers(flavour.version.since), _numbers(flavour.version.before)
            if any(version) and not first <= version < beyond:
                told = ".".join(map(str, version))
                raise NoPictures(self._name, f"{flavour.title} {told} {why}")

    async def items(self, listing: str) -> list[Item]:
        """The models of a list; none where there is no such list.

        Raises:
            ProviderError: It does not answer, or is no server of this API.
        """
        path = self._path(listing)
        answer = await self._http.get(path, accept=NO_ROUTE, seconds=self._seconds)
        try:
            body: Any = answer.json() if answer.ok else None
        except ValueError as e:
            if listing != "models":
                return []
            message = f"something else answers at {self._http.url}; its base URL ends with /v1"
            raise ProviderUnavailable(self._name, message) from e
        if isinstance(body, dict):
            facts = cast(dict[str, Any], body)
            body = facts.get("data", facts.get("models"))
        if not isinstance(body, list):
            return []
        return [_with_id(item) for item in cast("list[Item]", body) if isinstance(item, dict)]  # pyright: ignore[reportUnnecessaryIsInstance]

    def _path(self, path: str) -> str:
        return f"{self._root}{path}" if path.startswith("/") else path


def row_of(flavour: Flavour, id: str, item: Mapping[str, Any]) -> Row:
    """What is known of a model.

    Args:
        flavour: The server's.
        id: The model's.
        item: As the server lists it; empty where it does not.
    """
    changes: dict[str, Any] = {"upscales": _factor(flavour, id, item)}
    if flavour.masks:
        changes["masks"] = re.search(flavour.masks, id, re.IGNORECASE) is not None
    if flavour.edits and item:
        changes["edits"] = has(item, flavour.edits)
    if flavour.paints and item:
        changes["paints"] = has(item, flavour.paints)
    defaults = item.get("image_defaults")
    if isinstance(defaults, dict):  # as Lemonade tells
        for field, name in (
            ("native_width", "width"),
            ("native_height", "height"),
            ("default_steps", "steps"),
            ("default_guidance", "cfg_scale"),
        ):
            value = cast(dict[str, Any], defaults).get(name)
            if isinstance(value, int | float) and value > 0:
                changes[field] = value
    return flavour.row.model_copy(update=changes)


def _factor(flavour: Flavour, id: str, item: Mapping[str, Any]) -> int | None:
    """How many times a model enlarges that does nothing else; None for the others."""
    told = bool(flavour.upscales) and has(item, flavour.upscales)
    if not told and not (flavour.upscalers and re.search(flavour.upscalers, id, re.IGNORECASE)):
        return None
    match = re.search(r"(?<![a-z0-9])(?:x([24])|([24])x)", id, re.IGNORECASE)
    return int(match[1] or match[2]) if match else USUAL_FACTOR


def _with_id(item: Item) -> Item:
    """The same, as Ollama calls it too."""
    return {"id": item.get("model") or item.get("name"), **item}


def _numbers(version: object) -> tuple[int, ...]:
    """The numbers of a version; none where it is not told."""
    match = re.match(r"\d+(\.\d+)*", version) if isinstance(version, str) else None
    return tuple(map(int, match[0].split("."))) if match else ()
