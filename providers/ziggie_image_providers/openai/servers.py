"""Ask a server of one's own which it is, and which of its models make pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from ziggie_image_mcp.provider import NotReady, ProviderUnavailable
from ziggie_image_mcp.provider.engines import ask, engines, recognise
from ziggie_image_mcp.provider.http import HttpClient
from ziggie_image_providers.openai.flavours import Flavour, flavours, has
from ziggie_image_providers.openai.settings import Row

NO_ROUTE = (400, 404, 405, 501)
"""How a server answers that has no such list."""

LISTING_SECONDS = 20.0

SIGN_SECONDS = 1.2
"""For what engines tell of themselves; a probe has to list as well."""

USUAL_FACTOR = 4
"""Of upscalers whose id does not tell."""

Item = dict[str, Any]
"""A model as a server lists it, with its id under `id`."""


class Server:
    """One server.

    Args:
        name: The provider's name.
        http: The connections to it.
        root: The same without the path of the API, where engines tell what they are.
        seconds: What an answer may take at most.
    """

    def __init__(self, name: str, http: HttpClient, root: HttpClient, seconds: float) -> None:
        self._name = name
        self._http = http
        self._root = root
        self._seconds = min(LISTING_SECONDS, seconds)

    async def recognise(self) -> str:
        """The name of its flavour: by what engines answer, or else by what it lists.

        Raises:
            NotReady: It is an engine that makes no pictures as it is.
            ProviderError: It does not answer.
        """
        items = await self.items("models")
        known = {name: engine for name, engine in engines().items() if name in flavours()}
        routes = {route for engine in known.values() for route in engine.routes}
        answers = await ask(self._root, routes, min(SIGN_SECONDS, self._seconds))
        sighting = recognise(answers, known)
        if sighting is not None and sighting.problem:
            raise NotReady(self._name, f"at {self._http.url}: {sighting.problem}")
        if sighting is not None:
            return sighting.name
        for name, flavour in flavours().items():
            if flavour.sign and any(has(item, flavour.sign) for item in items):
                if flavour.without and await self._lacks_route(flavour):
                    raise NotReady(self._name, f"at {self._http.url}: {flavour.without}")
                return name
        return "compatible"

    async def _lacks_route(self, flavour: Flavour) -> bool:
        """Whether it has no route by which pictures are made from text."""
        path = flavour.tasks["text_to_image"].path
        answer = await self._http.get(path, accept=NO_ROUTE, seconds=self._seconds)
        return answer.status == 404

    async def items(self, listing: str) -> list[Item]:
        """The models of a list; none where there is no such list.

        Raises:
            ProviderError: It does not answer, or is no server of this API.
        """
        http = self._root if listing.startswith("/") else self._http
        answer = await http.get(listing, accept=NO_ROUTE, seconds=self._seconds)
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
