"""The template of one server of an engine: where it is, and how it is spoken to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from ziggie_image_mcp.provider import engines
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.http import READ_SECONDS, HttpClient, KeyHeader
from ziggie_image_mcp.provider.nouns import Where
from ziggie_image_mcp.provider.places import Places
from ziggie_image_mcp.provider.settings import EngineSettings, HttpSettings

S = TypeVar("S", bound=EngineSettings)


class EngineServer(Generic[S]):
    """A server at the address that is set, or wherever engines of its kind listen by themselves.

    Args:
        name: The provider's name.
        settings: Where it is, and which variable holds its login.
        context: Gives keys, hosts, and the transport.
        seconds: How long an answer may take at most.
        places: Where it is looked for where no address is set, instead of the usual places.
    """

    kind: ClassVar[str]
    """The type of provider, as engines.json has it."""
    how_to_start: ClassVar[str]
    """What to do when nothing answers, as `start InvokeAI`."""
    auth: ClassVar[Sequence[KeyHeader]] = ()
    """How the login is sent; nothing: not with each request."""
    errors: ClassVar[Sequence[Rule]] = ()

    def __init__(
        self,
        name: str,
        settings: S,
        context: ProviderContext,
        seconds: float,
        places: Sequence[str] = (),
    ) -> None:
        self._name = name
        self._settings = settings
        self._context = context
        self._seconds = seconds
        self._places = Places(name, addresses(self.kind, settings, context, places), self._connect)

    @property
    def http(self) -> HttpClient:
        """The connections to it."""
        return self._places.taken

    @property
    def where(self) -> Where:
        """Whoever's host it is, it is no vendor: it takes no money."""
        return owned(self.http)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._places.aclose()

    def _connect(self, url: str, *, login: bool = True) -> HttpClient:
        key = self._settings.key_name if login else None
        return HttpClient(
            self._name,
            self._settings.model_copy(update={"base_url": url}),
            self._context,
            auth=self.auth,
            key_names=[key] if key else [],
            rules=self.errors,
            fix=f"{self.how_to_start}, or set providers.{self._name}.baseUrl",
            read_seconds=min(READ_SECONDS, self._seconds),
        )


def addresses(
    kind: str, settings: HttpSettings, context: ProviderContext, places: Sequence[str] = ()
) -> tuple[str, ...]:
    """Where an engine is looked for: at the address that is set, else wherever it may listen.

    Args:
        kind: The type of provider.
        settings: Its section of config.json.
        context: Gives the hosts.
        places: Instead of the usual ones.
    """
    if "base_url" in settings.model_fields_set:
        return (settings.base_url,)
    return tuple(places) or engines.places(kind, context.hosts)


def owned(http: HttpClient) -> Where:
    """Where the user's own server is: whoever's host it is, it is no vendor."""
    return "this_machine" if http.where == "this_machine" else "own_network"
