"""Find the providers, build those that the config allows, and ask them what they have."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
from pydantic import BaseModel, TypeAdapter, ValidationError

from ziggie_image_mcp.config import secrets
from ziggie_image_mcp.config.config import Config, set_by
from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ConfigError,
    DependencyMissing,
    ModelMissing,
    ProviderBroken,
    ProviderError,
    plain_key,
    suggestion,
)
from ziggie_image_mcp.inventory import engine_hosts
from ziggie_image_mcp.inventory.types import NO_KEY, Reason, Rejection
from ziggie_image_mcp.provider import bulkhead, pricing, written
from ziggie_image_mcp.provider.addresses import where_is
from ziggie_image_mcp.provider.contract import (
    CONTRACT,
    ENTRY_POINT_GROUP,
    Provider,
    ProviderContext,
    ProviderType,
)
from ziggie_image_mcp.provider.error_rules import scrub
from ziggie_image_mcp.provider.nouns import HERE, Model, ProviderRequest
from ziggie_image_mcp.provider.pricing import Estimate
from ziggie_image_mcp.provider.settings import HttpSettings

if TYPE_CHECKING:
    import httpx2

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
"""How long the end of the server waits for a provider to close."""

_WORDS = ("auto", "local", "cloud")
_OWN_KEYS = ("type", "enabled", "budget", "privacy", "concurrency")


@dataclass(frozen=True, kw_only=True)
class _Section:
    name: str
    kind: str
    enabled: bool
    named: bool
    settings: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """The environment variables that set some of them, by their keys."""


def discover() -> dict[str, list[EntryPoint]]:
    """The provider types that are installed, built-in and third-party alike, by name.

    Of those with one name a built-in one is the first.
    """
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=_rank):
        found.setdefault(entry.name, []).append(entry)
    return found


def _rank(entry: EntryPoint) -> tuple[str, bool, str]:
    return entry.name, not is_built_in(entry), _distribution(entry)


def is_built_in(entry: EntryPoint) -> bool:
    """Whether a provider type comes with this program."""
    return entry.value.startswith("ziggie_image_providers.")


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


@dataclass(frozen=True, kw_only=True)
class InstalledTypes:
    """The provider types that can be used, and why the others cannot."""

    usable: Mapping[str, ProviderType] = field(default_factory=dict[str, ProviderType])
    broken: Mapping[str, Rejection] = field(default_factory=dict[str, Rejection])
    clashing: Sequence[Rejection] = ()
    """Those that have the name of one that is usable."""


def load_types() -> InstalledTypes:
    """Import every installed provider type. One that fails is a reason, and stops no other."""
    usable: dict[str, ProviderType] = {}
    broken: dict[str, Rejection] = {}
    clashing: list[Rejection] = []
    for name, (entry, *others) in discover().items():
        clashes = [_broken(name, e, "PLUGIN_BROKEN", f"the name of {entry.value}") for e in others]
        if others and not is_built_in(entry):  # whose would its section and its key be?
            broken[name] = clashes[0]
            continue
        clashing += clashes
        try:
            kind = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as e:  # foreign code may raise anything
            _log.info("The plugin %s cannot be imported", entry.value, exc_info=True)
            broken[name] = _broken(name, entry, "PLUGIN_BROKEN", described(e))
            continue
        number = getattr(kind, "contract", None)
        if number != CONTRACT:
            have = f"contract {number!r}"
            broken[name] = _broken(name, entry, "CONTRACT_UNSUPPORTED", have)
        elif not _keeps_contract(kind):
            have = "a class without `info` or `Settings`"
            broken[name] = _broken(name, entry, "PLUGIN_BROKEN", have)
        else:
            usable[name] = cast(ProviderType, kind)
    return InstalledTypes(usable=usable, broken=broken, clashing=clashing)


def described(error: BaseException) -> str:
    """What foreign code raised, as reasons write it."""
    text = scrub(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _keeps_contract(kind: object) -> bool:
    settings = getattr(kind, "Settings", None)
    try:
        bulkhead.INFO.check(getattr(kind, "info", None))
    except ValueError:
        return False
    return callable(kind) and isinstance(settings, type) and issubclass(settings, BaseModel)


def _broken(name: str, entry: EntryPoint, code: str, have: str) -> Rejection:
    need = f"contract {CONTRACT}" if code == "CONTRACT_UNSUPPORTED" else "a plugin that works"
    fix = f"update or uninstall {_distribution(entry)}"
    return Rejection(
        provider=name, model=None, reasons=(Reason(code=code, have=have, need=need, fix=fix),)
    )


class Registry:
    """The configured providers. Built on first use; imports only what is switched on."""

    def __init__(self, config: Config, data_dir: Path, extra: Iterable[Provider] = ()) -> None:
        self._config = config
        self._data_dir = data_dir
        self._providers: dict[str, Provider] = {p.name: p for p in extra}
        self._off: list[Rejection] = []
        self._elsewhere: set[str] = set()
        self._named: frozenset[str] = frozenset(self._providers)
        self._extra = frozenset(self._providers)
        self._built = bool(self._providers)
        self._hosts: tuple[str, ...] = (HERE,)
        self._from: dict[str, tuple[object, ...]] = {}
        """What each was built from."""
        self._retired: list[Provider] = []
        """Those that the config has no more: a job may still use one."""

    def providers(self) -> Mapping[str, Provider]:
        """The providers by name, once `open` has built them."""
        return self._providers

    async def open(self) -> None:
        """Build what the config allows: what it names, what is automatic, what has a key.

        Raises:
            ConfigError: The config names an unknown provider, or a provider's section is wrong.
        """
        if not self._built:
            types = await anyio.to_thread.run_sync(load_types)
            with_key, trouble = await _with_keys(types.usable)
            await self._resolve_hosts()
            self._build(types, with_key)
            self._off += trouble
            self._built = True

    async def reconfigure(self, config: Config) -> None:
        """Build anew what the config says otherwise; what it says as before stays as it is.

        Raises:
            ConfigError: As `open` tells; then nothing is changed.
        """
        if self._extra or not self._built:
            self._config = config
            return
        new = Registry(config, self._data_dir)
        new._providers, new._from = dict(self._providers), dict(self._from)
        new._elsewhere = set(self._elsewhere)
        types = await anyio.to_thread.run_sync(load_types)
        with_key, trouble = await _with_keys(types.usable)
        await new._resolve_hosts()
        new._build(types, with_key)
        new._off += trouble
        kept = list(new._providers.values())
        self._retired += [p for p in self._providers.values() if p not in kept]
        self._config, self._providers, self._from = config, new._providers, new._from
        self._off, self._elsewhere, self._named = new._off, new._elsewhere, new._named
        self._hosts = new._hosts

    async def collector(self, name: str) -> Provider | None:
        """A provider that is switched off, or not named any more, to fetch what it was sent.

        None where it cannot be built.
        """
        if self._extra:
            return None
        types = await anyio.to_thread.run_sync(load_types)
        try:
            one = next(s for s in _sections(self._config, types, [name]) if s.name == name)
            made = self._built_by(one, types.usable[one.kind])
        except (StopIteration, KeyError, ConfigError, ProviderError) as e:
            _log.warning("%s cannot be asked for what it was sent: %s", name, e)
            return None
        self._retired.append(made)
        return made

    async def vendors_without_key(self) -> dict[str, Provider | None]:
        """The vendors that nobody set up here, for their price lists. They reach no network.

        None stands for one that cannot be built without settings. Close each of the others.
        """
        if self._extra:
            return {}
        types = await anyio.to_thread.run_sync(load_types)
        vendors: dict[str, Provider | None] = {}
        for name, kind in types.usable.items():
            if kind.info.key_names and name not in self._providers:
                context = ProviderContext(
                    data_dir=self._data_dir, secret=_no_key, transport=_no_network()
                )
                vendors[name] = None
                with contextlib.suppress(ConfigError, ProviderError, ValidationError):
                    settings = kind.Settings.model_validate({})
                    vendors[name] = bulkhead.build(name, partial(kind, name, settings, context))
        return vendors

    def switched_off(self) -> tuple[Rejection, ...]:
        """The providers that are switched off, or cannot be imported or built, with the reason."""
        return tuple(self._off)

    def configured(self) -> frozenset[str]:
        """Providers that the user's config names, as against those merely looked for."""
        return self._named

    async def aclose(self, keep: Collection[str] = ()) -> None:
        """Close every provider but these."""

        async def close(provider: Provider) -> None:
            with anyio.move_on_after(CLOSE_SECONDS) as scope:
                await bulkhead.close(provider)
            if scope.cancelled_caught:
                _log.warning("The provider %s does not come to an end", provider.name)

        async with anyio.create_task_group() as group:
            for provider in (*self._providers.values(), *self._retired):
                if provider.name not in keep:
                    group.start_soon(close, provider)

    def is_here(self, provider: str) -> bool:
        """Whether a provider may say that it runs on this machine: its address is no other's."""
        return provider not in self._elsewhere

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """What a request would cost, by the provider itself; None when nobody can tell."""
        provider = self._providers.get(model.provider)
        if provider is None:
            return pricing.estimate(request, model)
        try:
            estimate = bulkhead.call_now(
                provider.name, lambda: provider.estimate(request, model), bulkhead.ESTIMATE
            )
        except ProviderError:
            return None
        if estimate is None or estimate.expected > estimate.upper:
            return None
        return estimate if (estimate.upper == 0) == pricing.is_free(model.prices) else None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where local engines are looked for, this machine first."""
        return self._hosts

    async def _resolve_hosts(self) -> None:
        if named := self._config.engine_hosts:
            self._hosts = await anyio.to_thread.run_sync(engine_hosts.resolve, named)

    def _build(self, types: InstalledTypes, with_key: Collection[str]) -> None:
        plans = list(_sections(self._config, types, with_key))
        names = [*_WORDS, *(p.name for p in plans), *types.broken]
        self._off += [*types.broken.values(), *types.clashing]
        before, self._providers = self._providers, {}
        self._check_names(names, types)
        for one in plans:
            if not one.enabled:
                reason = Reason(
                    code="DISABLED",
                    have=f"providers.{one.name}.enabled: false",
                    need="an enabled provider",
                    fix=self._config.how_to_enable("providers", one.name),
                )
                self._off.append(Rejection(provider=one.name, model=None, reasons=(reason,)))
                continue
            if one.kind in types.broken:
                if one.name != one.kind:
                    self._off.append(replace(types.broken[one.kind], provider=one.name))
                continue
            self._make(one, types.usable[one.kind], before.get(one.name))
        self._off += [
            _without_key(name, kind.info.key_names[0])
            for name, kind in types.usable.items()
            if kind.info.key_names and name not in names
        ]
        self._named = frozenset(p.name for p in plans if p.named and p.enabled)

    def _check_names(self, names: Sequence[str], types: InstalledTypes) -> None:
        """Refuse a provider that there is not; a rule may name one that only lacks its key."""
        known = list(dict.fromkeys((*names, *types.usable)))
        targets = {"provider": (self._config.provider, names)}
        for place, rule in enumerate(self._config.routes):
            targets[f"routes[{place}].use"] = (rule.use, known)
        for key, (target, valid) in targets.items():
            if target not in valid:
                by = set_by(self._config.variable(key.partition("[")[0]))
                raise ConfigError(
                    f"`{key}`{by}: {target!r} is no provider.{suggestion(target, known)} "
                    f"Known: {', '.join(known)}."
                )

    def _make(self, one: _Section, kind: ProviderType, before: Provider | None) -> None:
        source = (one, self._config.api, self._config.hardware, self._hosts)
        try:
            if before is None or self._from.get(one.name) != source:
                before = self._built_by(one, kind)
            self._providers[one.name], self._from[one.name] = before, source
        except ConfigError as e:
            if one.named:
                raise
            self._off.append(silent_provider(one.name, e.code, str(e)))
        except ProviderError as e:
            what = str(e) if e.__cause__ is None else described(e.__cause__)
            self._off.append(silent_provider(one.name, "PLUGIN_BROKEN", what))

    def _built_by(self, one: _Section, kind: ProviderType) -> Provider:
        """Build a provider.

        Raises:
            ConfigError: Its section is wrong.
            ProviderError: Its code is.
        """
        settings = bulkhead.build(one.name, lambda: _settings(one, kind))
        api = self._config.api
        context = ProviderContext(
            data_dir=self._data_dir,
            timeout=api.timeout / 1000 if api and api.timeout and api.type == one.kind else None,
            gpu=self._config.hardware.gpu,
            vram_optimization=self._config.hardware.vram_optimization,
            hosts=self._hosts,
            secret=partial(_secret, one.name),
        )
        made = cast(object, bulkhead.build(one.name, lambda: kind(one.name, settings, context)))
        if not isinstance(made, Provider) or cast(object, made.name) != one.name:
            what = f"{type(made).__name__} lacks a part of the contract, or has another name"
            raise ProviderBroken(one.name, what)
        self._elsewhere.discard(one.name)
        if isinstance(settings, HttpSettings) and where_is(settings) != "this_machine":
            self._elsewhere.add(one.name)
        return made


async def _no_key(name: str) -> str:
    """What stands in for a key that nobody sends."""
    return "no-key"


def _no_network() -> httpx2.AsyncBaseTransport:
    import httpx2

    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody is asked", request=request)

    return httpx2.MockTransport(refuse)


def _without_key(name: str, variable: str) -> Rejection:
    fix = f"`ziggie-image-mcp keys set {name}`, or set {variable} in the MCP client's own settings"
    reason = Reason(code=NO_KEY, have="none", need=f"a key in {variable}", fix=fix)
    return Rejection(provider=name, model=None, reasons=(reason,))


def _settings(one: _Section, kind: ProviderType) -> BaseModel:
    try:
        return kind.Settings.model_validate(one.settings)
    except ValidationError as e:
        valid = [f.alias or n for n, f in kind.Settings.model_fields.items()]
        lines: list[str] = []
        for problem in e.errors(include_url=False):
            key = ".".join(str(part) for part in problem["loc"])
            by = set_by(one.variables.get(str(problem["loc"][0]), "") if problem["loc"] else "")
            if problem["type"] == "extra_forbidden":
                lines.append(f"unknown key `{key}`{by}.{suggestion(key, valid)}")
            else:
                lines.append(f"`{key}`{by}: {written.described(problem)}")
        raise ConfigError(f"providers.{one.name}: {'; '.join(lines)}") from e


async def _secret(provider: str, name: str) -> str | None:
    """A key, for a provider.

    Raises:
        AuthenticationFailed: The key file cannot be used.
    """
    try:
        return await secrets.find(name)
    except ConfigError as e:
        raise AuthenticationFailed(provider, str(e)) from e


async def _with_keys(
    types: Mapping[str, ProviderType],
) -> tuple[frozenset[str], list[Rejection]]:
    """The provider types for which this user has a key, and why not all keys can be read."""
    with_key: set[str] = set()
    troubles: set[str] = set()

    async def ask(name: str, variable: str) -> None:
        try:
            if await secrets.find(variable) is not None:
                with_key.add(name)
        except ConfigError as e:
            troubles.add(str(e))

    async with anyio.create_task_group() as group:
        for name, variable in secrets.key_names(types).items():
            group.start_soon(ask, name, variable)
    fix = "then start the server again; or set the keys in the environment"
    return frozenset(with_key), [
        Rejection(
            provider="keys",
            model=None,
            reasons=(Reason(code="KEYS_UNREADABLE", have=trouble, need="readable keys", fix=fix),),
        )
        for trouble in sorted(troubles)
    ]


def _sections(
    config: Config, types: InstalledTypes, with_key: Collection[str]
) -> Iterable[_Section]:
    known = [*types.usable, *types.broken]
    sections: dict[str, dict[str, Any]] = {n: dict(s) for n, s in config.providers.items()}
    named = set(sections)
    if config.api is not None:
        if config.api.type not in known:
            raise ConfigError(
                f"`api.type`{set_by(config.variable('api', 'type'))}: "
                f"{config.api.type!r} is no kind of provider."
                f"{suggestion(config.api.type, known)} Installed: {', '.join(known)}."
            )
        named.add(config.api.type)
        section = sections.setdefault(config.api.type, {})
        if config.api.url and "baseurl" not in map(plain_key, section):
            section["baseUrl"] = config.api.url
    if config.provider not in _WORDS:
        named.add(config.provider)
    for name in dict.fromkeys((*types.usable, *sections)):
        section = sections.get(name, {})
        kind = str(section.get("type", name))
        if kind not in known:
            raise ConfigError(
                f"providers.{name}: {kind!r} is no kind of provider.{suggestion(kind, known)} "
                f'Installed: {", ".join(known)}. Say which with "type".'
            )
        variables: dict[str, str] = {}
        if kind in types.usable:
            fields = types.usable[kind].Settings.model_fields.items()
            section, variables = _overlaid(config, name, section, {f.alias or n for n, f in fields})
        automatic = kind in types.usable and types.usable[kind].info.automatic
        if name not in named and not automatic and name not in with_key:
            continue
        yield _Section(
            name=name,
            kind=kind,
            enabled=_switch(
                name,
                section.get("enabled", True),
                set_by(config.variable("providers", name, "enabled")),
            ),
            named=name in named,
            settings={k: v for k, v in section.items() if k not in _OWN_KEYS},
            variables=variables,
        )


def _overlaid(
    config: Config, provider: str, section: Mapping[str, Any], names: Iterable[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """A section whose settings of the environment stand under their declared names.

    Variables have no capitals to tell by, so BASE_URL and BASEURL are both `baseUrl`; they win over
    the file. Beside it: which variable set which key.
    """
    declared = {plain_key(name): name for name in names}
    settings, variables = dict(section), dict[str, str]()
    for key in section:
        variable = config.variable("providers", provider, key)
        if not variable:
            continue
        own = key
        if ("providers", provider, key) in config.variables:
            own = declared.get(plain_key(key), key)
            value = settings[key]
            settings = {k: v for k, v in settings.items() if plain_key(k) != plain_key(own)}
            settings[own] = value
        variables[own] = variable
    return settings, variables


def _switch(name: str, value: object, by: str) -> bool:
    try:
        return TypeAdapter(bool).validate_python(value)
    except ValidationError as e:
        raise ConfigError(
            f"providers.{name}.enabled{by}: {value!r} is neither true nor false."
        ) from e


def silent_provider(provider: str, code: str, message: str) -> Rejection:
    """The rejection of a whole provider that did not answer, or has nothing to offer."""
    needs = {
        ModelMissing.code: "a model",
        DependencyMissing.code: "its packages",
        AuthenticationFailed.code: "a key that it takes",
    }
    reason = Reason(code=code, have=message, need=needs.get(code, "an answer"), fix="")
    return Rejection(provider=provider, model=None, reasons=(reason,))
