"""Say what a server can run, and what can be laid over it, as models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.to_thread

from ziggie_image_mcp.provider import (
    FREE,
    ControlSupport,
    Defaults,
    FreeSize,
    LoraSupport,
    Memory,
    Model,
    Option,
    SameAsInput,
    Task,
    TaskCapability,
)
from ziggie_image_providers.a1111 import families, headers
from ziggie_image_providers.a1111.families import Kind
from ziggie_image_providers.a1111.flavours import Flavour
from ziggie_image_providers.a1111.headers import Head
from ziggie_image_providers.a1111.server import Contents, Identity, Server, as_dict, texts
from ziggie_image_providers.a1111.settings import Settings

_HASH = re.compile(r"\s*\[[0-9a-fA-F]{6,}\]$")
_ENDING = re.compile(r"\.(safetensors|ckpt|gguf|pt|pth|sft)$", re.IGNORECASE)

NO_UPSCALERS = re.compile(r"^(none|lanczos|nearest|latent\b.*|resize\b.*)", re.IGNORECASE)
"""Among the upscalers: what is no model, and what our own code does as well."""

FACTORS = (2, 4)
MOST_PIXELS = 4096 * 4096
MAX_CONTROL = 3


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model with what is needed to ask for it."""

    model: Model
    word: str
    """By which the server knows it."""
    names: frozenset[str] = frozenset()
    """All names by which its answers may call it, plain."""
    hash: str = ""
    kind: Kind | None = None
    """None for an upscaler."""
    modules: tuple[str, ...] = ()
    """Of Forge: what goes with it."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that a server has for us."""

    identity: Identity
    contents: Contents
    entries: Mapping[str, Entry]
    additions: tuple[Model, ...]


def plain_name(name: str) -> str:
    """A model's name without folder, hash, ending and case."""
    base = _HASH.sub("", name).replace("\\", "/").rpartition("/")[2]
    return _ENDING.sub("", base).lower()


class Lister:
    """Makes the listing of one server.

    Args:
        name: The provider's name.
        settings: What the user says of its files.
        server: Whose they are.
    """

    def __init__(self, name: str, settings: Settings, server: Server) -> None:
        self._name = name
        self._settings = settings
        self._server = server
        self._memory: int | None = None
        self._heads: dict[str, Head] = {}
        """By path: a file of another content has another name."""

    async def read(self) -> Listing:
        """What it has now.

        Raises:
            ProviderError: It cannot be asked, or is none of the family.
        """
        identity = await self._server.find()
        contents = await self._server.contents(identity)
        self._memory = contents.memory
        if self._server.where == "this_machine":
            await anyio.to_thread.run_sync(self._read_heads, contents)
        entries: dict[str, Entry] = {}
        for entry in (*self._models(identity, contents), *self._upscalers(identity, contents)):
            entries.setdefault(entry.model.id, entry)
        additions = tuple(self._additions(identity.flavour, contents))
        return Listing(identity=identity, contents=contents, entries=entries, additions=additions)

    def _read_heads(self, contents: Contents) -> None:
        """Look into the files whose names do not say what they are, or whether they hold all."""
        for item in contents.models:
            file = str(item.get("filename") or "")
            if file and file not in self._heads:
                family = families.family_of(file, self._settings.families)
                needed = family is None or bool(families.kind_of(family, file).parts)
                self._heads[file] = headers.read(file) if needed else Head()

    def _models(self, identity: Identity, contents: Contents) -> Iterable[Entry]:
        loaded = str(contents.options.get("sd_model_checkpoint") or "")
        listed = contents.models
        if not identity.flavour.lists_models:  # the app has one chosen
            loaded = str(contents.options.get("model") or "") or identity.flavour.title
            listed = ({"title": loaded},)
        for item in listed:
            title = str(item.get("title") or item.get("model_name") or "")
            if title:
                yield self._entry(item, title, loaded, identity, contents)

    def _entry(
        self,
        item: Mapping[str, Any],
        title: str,
        loaded: str,
        identity: Identity,
        contents: Contents,
    ) -> Entry:
        flavour = identity.flavour
        id = _HASH.sub("", title)
        file = str(item.get("filename") or "")
        words = (title, str(item.get("model_name") or ""), file)
        family = families.family_of(id, self._settings.families)
        if family is None and file:
            family = families.family_of(file, self._settings.families)
        head = self._heads.get(file, Head())
        family = family or head.family
        kind = families.kind_of(family, id)
        aliases = {plain_name(id), str(item.get("model_name") or "")} - {"", id}
        is_loaded = not flavour.switch or plain_name(loaded) == plain_name(title)
        model = replace(
            self._model(id),
            family=family,
            aliases=tuple(sorted(aliases)),
            tasks=self._tasks(flavour, kind, family, contents),
            state="loaded" if is_loaded else "ready",
            queued=contents.queued,
            defaults=Defaults(steps=kind.steps, guidance_scale=kind.guidance),
            distilled=kind.distilled,
            note="" if family else self._unknown(id),
        )
        model, modules = self._with_modules(model, kind, flavour, contents, head)
        if family and flavour.families and family not in flavour.families:
            fix = f"{flavour.title} does not run {family} models; use another engine for it"
            if family == "flux1":
                fix = f"{flavour.title} does not run FLUX; Forge, Forge Neo and SD.Next do"
            model = replace(model, state="unusable", fix=fix)
        return Entry(
            model=model,
            word=title,
            names=frozenset(plain_name(word) for word in words if word),
            hash=str(item.get("hash") or ""),
            kind=kind,
            modules=modules,
        )

    def _unknown(self, id: str) -> str:
        return (
            f"its family could not be told from its name, so that it is asked for as one of SD 1.5;"
            f' set it as providers.{self._name}.families {{"{id}": "sdxl"}}'
        )

    def _with_modules(
        self, model: Model, kind: Kind, flavour: Flavour, contents: Contents, head: Head
    ) -> tuple[Model, tuple[str, ...]]:
        """The modules of Forge that go with a model: the user's, those it needs, or what is set."""
        if not flavour.forge:
            return model, ()
        own = families.set_for(model.id, self._settings.modules)
        if own is not None:
            return model, tuple(own)
        if not kind.parts:
            names = texts(contents.options.get("forge_additional_modules"))
            return model, tuple(name for name in names if not families.is_part(name))
        modules, missing = families.parts_for(kind, model.id, contents.modules, whole=head.whole)
        if missing:
            files = " and ".join(f"{part.file} into {part.folder}" for part in missing)
            fix = (
                f"{flavour.title} needs more files for it: put {files}, or, where its file holds"
                f' all, set providers.{self._name}.modules {{"{model.id}": []}}'
            )
            return replace(model, state="missing", fix=fix), ()
        return model, modules

    def _tasks(
        self, flavour: Flavour, kind: Kind, family: str | None, contents: Contents
    ) -> Mapping[Task, TaskCapability]:
        options = set(_options(flavour, kind, contents))
        step = max(kind.multiple_of, flavour.multiple_of)
        plain = TaskCapability(
            sizes=FreeSize(
                native_width=kind.side // step * step,
                native_height=kind.side // step * step,
                min_side=max(64, step),
                max_side=2048,
                multiple_of=step,
            ),
            options=frozenset(options - {"strength"}),
            max_images=flavour.max_images if "num_images" in flavour.words else 1,
            loras=LoraSupport() if flavour.lora and contents.loras else None,
            control=_control(flavour, family, contents),
            embeddings=bool(flavour.embeddings and contents.embeddings),
        )
        edit = replace(plain, options=frozenset(options))
        return {
            "text_to_image": plain,
            "image_to_image": edit,
            "inpaint": replace(edit, mask="white"),
        }

    def _model(self, id: str) -> Model:
        return Model(
            id=id,
            provider=self._name,
            where=self._server.where,
            tasks={},
            prices=FREE,
            device=self._server.http.url,
            device_memory=self._memory,
            memory=Memory(managed=True),
        )

    def _upscalers(self, identity: Identity, contents: Contents) -> Iterable[Entry]:
        if not identity.flavour.upscales:
            return
        accepts = FreeSize(
            native_width=512,
            native_height=512,
            min_side=1,
            max_side=4096,
            multiple_of=1,
            max_pixels=MOST_PIXELS // max(FACTORS) ** 2,
        )
        able = TaskCapability(sizes=SameAsInput(accepts=accepts), factors=FACTORS)
        for name in contents.upscalers:
            if not NO_UPSCALERS.match(name):
                model = replace(self._model(name), family="upscaler", tasks={"upscale": able})
                yield Entry(model=replace(model, queued=contents.queued), word=name)

    def _additions(self, flavour: Flavour, contents: Contents) -> Iterable[Model]:
        for item in contents.loras:
            name, alias = str(item.get("name") or ""), str(item.get("alias") or "")
            if not name:
                continue
            family = families.lora_family(name, as_dict(item.get("metadata")))
            aliases = (alias,) if alias and alias not in (name, "None") else ()
            yield replace(self._model(name), role="lora", family=family, aliases=aliases)
        for name in contents.nets if flavour.control else ():
            kinds, family = families.net_kinds(name), families.net_family(name)
            if kinds and family:
                title = f"control: {', '.join(sorted(kinds))}"
                yield replace(
                    self._model(_HASH.sub("", name)), role="control", family=family, title=title
                )
        for name in contents.embeddings if flavour.embeddings else ():
            yield replace(self._model(name), role="embedding")


def net_for(kind: str, family: str | None, contents: Contents) -> str:
    """The control net for a kind of picture and a family; empty where there is none.

    One for this kind alone comes before one for many.
    """
    fitting = [n for n in contents.nets if families.net_family(n) == family]
    fitting = [n for n in fitting if kind in families.net_kinds(n)]
    return min(fitting, key=lambda n: len(families.net_kinds(n)), default="")


def module_for(kind: str, contents: Contents) -> str:
    """What makes a map of this kind; empty where the server has nothing."""
    names = families.data().modules.get(kind, ())
    return next((name for name in names if name in contents.net_modules), "")


def _options(flavour: Flavour, kind: Kind, contents: Contents) -> Iterable[Option]:
    guided = kind.guidance is not None and (not kind.built_in or bool(flavour.distilled))
    for word, name in flavour.words.items():
        if word == "num_images" or (flavour.only_listed and name not in contents.options):
            continue
        if word == "guidance_scale" and not guided:
            continue
        if word == "negative_prompt" and (kind.guidance is None or kind.built_in):
            continue  # at cfg 1 nobody reads it
        if word == "sampler" and not contents.samplers:
            continue
        if word == "scheduler" and not contents.schedulers:
            continue
        if word == "seamless" and not kind.hires:
            continue
        yield word


def _control(flavour: Flavour, family: str | None, contents: Contents) -> ControlSupport | None:
    if not flavour.control or family is None:
        return None
    nets = [n for n in contents.nets if families.net_family(n) == family]
    kinds = frozenset(kind for net in nets for kind in families.net_kinds(net))
    if not kinds:
        return None
    computed = frozenset(kind for kind in kinds if module_for(kind, contents))
    return ControlSupport(kinds=kinds, computed=computed, max_count=MAX_CONTROL)
