"""Say what a SwarmUI can run, and what can be laid over it, as models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from ziggie_image_mcp.provider import (
    FREE,
    ControlSupport,
    Defaults,
    FreeSize,
    LoraSupport,
    Memory,
    Model,
    Option,
    PriceBook,
    Prices,
    Task,
    TaskCapability,
)
from ziggie_image_mcp.provider.pricing import OWN_PRICE
from ziggie_image_mcp.provider.settings import ModelRow
from ziggie_image_providers.swarmui import families
from ziggie_image_providers.swarmui.families import Kind
from ziggie_image_providers.swarmui.server import Contents, Server, Session
from ziggie_image_providers.swarmui.settings import Settings

ENDING = ".safetensors"
"""SwarmUI leaves it out of names wherever it may."""

MAX_SIDE, MAX_IMAGES, MAX_CONTROL = 4096, 32, 3
COMFYUI, CONTROLNET, SEAMLESS = "comfyui", "controlnet", "seamless"
"""Features of backends that the options of a request need."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model with what is needed to ask for it."""

    model: Model
    name: str
    """By which SwarmUI knows it."""
    kind: Kind
    vae: str = ""
    paid: bool = False
    """Whether somebody else makes its pictures, who may want money."""
    bare: bool = False
    """Whether nothing is known of what it takes beside a prompt and a size: a vendor's."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that a SwarmUI has for us."""

    session: Session
    contents: Contents
    entries: Mapping[str, Entry]
    additions: tuple[Model, ...]


def plain_name(name: str) -> str:
    """A model's name as SwarmUI tells it of a picture: without the usual ending."""
    return name.replace("\\", "/").removesuffix(ENDING)


class Lister:
    """Makes the listing of one SwarmUI.

    Args:
        name: The provider's name.
        settings: What the user says of its files.
        server: Whose they are.
    """

    def __init__(self, name: str, settings: Settings, server: Server) -> None:
        self._name = name
        self._settings = settings
        self._server = server

    async def read(self) -> Listing:
        """What it has now.

        Raises:
            ProviderError: It cannot be asked, or is none.
        """
        session = await self._server.find()
        contents = await self._server.contents()
        entries: dict[str, Entry] = {}
        for item in contents.models:
            name = str(item.get("name") or "")
            if name:
                entries.setdefault(name, self._entry(item, name, contents))
        additions = tuple(self._additions(contents))
        return Listing(session=session, contents=contents, entries=entries, additions=additions)

    def _entry(self, item: Mapping[str, Any], name: str, contents: Contents) -> Entry:
        compat, architecture = _text(item, "compat_class"), _text(item, "architecture")
        kind = families.kind_of(compat, architecture, name)
        bare = kind is None or "api" in _tags(item)  # extensions list such ones as local, too
        paid = bare or item.get("local") is not True
        own_family = families.set_for(name, self._settings.families)
        if own_family is not None:
            kind = families.kind_of_family(own_family)
        model = replace(
            self._model(name, contents),
            family=(kind.family if kind else None) or own_family,
            title=_text(item, "title"),
            aliases=tuple(sorted({plain_name(name).rpartition("/")[2]} - {"", name})),
            license=_text(item, "license"),
            state="loaded" if item.get("loaded") is True and not paid else "ready",
            queued=contents.queued or 0,
        )
        kind = kind or Kind(guidance=None)
        unusable = self._unusable(item, kind)
        if unusable:
            model = replace(model, state="unusable", fix=unusable)
        else:
            model = replace(
                model,
                tasks=_tasks(kind, item, contents, bare=bare),
                defaults=Defaults(steps=kind.steps, guidance_scale=kind.guidance),
                distilled=kind.distilled,
                note=self._note(name, kind, paid=paid),
            )
        vae = families.set_for(name, self._settings.vaes) or ""
        if paid:
            model = replace(
                model,
                where="vendor",
                prices=self._prices(name),
                device="",
                device_memory=None,
                memory=Memory(managed=True),
            )
        return Entry(model=model, name=name, kind=kind, vae=vae, paid=paid, bare=bare)

    def _unusable(self, item: Mapping[str, Any], kind: Kind) -> str:
        if kind.unusable:
            return f"it {kind.unusable}"
        if item.get("is_supported_model_format") is False:
            return "SwarmUI does not run files of this format; convert it to safetensors"
        return ""

    def _note(self, name: str, kind: Kind, *, paid: bool) -> str:
        if paid:
            return "SwarmUI has another server or a vendor make it, who sees prompt and pictures"
        if kind.family is None:
            return (
                "SwarmUI does not know its family, so that it is asked for with usual values; set"
                f' it as providers.{self._name}.families {{"{plain_name(name)}": "sdxl"}}'
            )
        return ""

    def _prices(self, name: str) -> Prices:
        """What the user said; what nobody said is not known, and not used."""
        own = families.set_for(name, self._settings.models)
        if own is None:
            return PriceBook(rates=())
        return ModelRow(price_usd=own.price_usd, source=OWN_PRICE).prices("vendor")

    def _model(self, id: str, contents: Contents) -> Model:
        return Model(
            id=id,
            provider=self._name,
            where=self._server.where,
            tasks={},
            prices=FREE,
            device=self._server.http.url,
            device_memory=contents.memory,
            memory=Memory(managed=True),
        )

    def _additions(self, contents: Contents) -> Iterable[Model]:
        seen: set[str] = set()
        for role, items in (
            ("lora", contents.loras),
            ("control", contents.nets),
            ("embedding", contents.embeddings),
        ):
            for item in items:
                name = plain_name(_text(item, "name"))
                kinds = families.net_kinds(name) if role == "control" else frozenset[str]()
                if not name or name in seen or (role == "control" and not kinds):
                    continue
                seen.add(name)
                yield replace(
                    self._model(name, contents),
                    role=role,  # type: ignore[arg-type]  # of a tuple of texts
                    family=families.family_of(_text(item, "compat_class")),
                    title=f"control: {', '.join(sorted(kinds))}" if kinds else _text(item, "title"),
                )


def net_for(kind: str, family: str | None, contents: Contents) -> str:
    """The control net for a kind of picture and a family; empty where there is none.

    One for this kind alone comes before one for many.
    """
    fitting = [
        name
        for item in contents.nets
        if families.family_of(_text(item, "compat_class")) == family
        and kind in families.net_kinds(name := _text(item, "name"))
    ]
    return min(fitting, key=lambda n: len(families.net_kinds(n)), default="")


def preprocessor_for(kind: str, contents: Contents) -> str:
    """What makes a map of this kind; empty where SwarmUI has nothing."""
    return families.preprocessor_for(kind, contents.choices.get("controlnetpreprocessor", ()))


def _tasks(
    kind: Kind, item: Mapping[str, Any], contents: Contents, *, bare: bool
) -> Mapping[Task, TaskCapability]:
    step = kind.multiple_of
    native = [_side(item.get(key), kind) for key in ("standard_width", "standard_height")]
    options = set[Option]() if bare else set(_options(kind, contents))
    plain = TaskCapability(
        sizes=FreeSize(
            native_width=native[0],
            native_height=native[1],
            min_side=64,
            max_side=MAX_SIDE,
            multiple_of=step,
            exact=not bare,
        ),
        options=frozenset(options - {"strength"}),
        max_images=1 if bare else MAX_IMAGES,
    )
    if bare:
        return {"text_to_image": plain}
    plain = replace(
        plain,
        loras=LoraSupport() if contents.loras else None,
        control=_control(kind, contents),
        embeddings=bool(contents.embeddings),
        bounds={"steps": (1, 500), "guidance_scale": (0, 100)},
    )
    edit = replace(plain, options=frozenset(options))
    return {
        "text_to_image": plain,
        "image_to_image": edit,
        "inpaint": replace(edit, mask="white"),
    }


def _options(kind: Kind, contents: Contents) -> Iterable[Option]:
    yield from ("seed", "steps", "strength")
    if kind.guidance is not None:
        yield "guidance_scale"
        if not kind.built_in:  # at cfg 1 nobody reads it
            yield "negative_prompt"
    if COMFYUI in contents.features:
        if contents.choices.get("sampler"):
            yield "sampler"
        if contents.choices.get("scheduler"):
            yield "scheduler"
    if kind.unet and SEAMLESS in contents.features:
        yield "seamless"


def _control(kind: Kind, contents: Contents) -> ControlSupport | None:
    if CONTROLNET not in contents.features or kind.family is None:
        return None
    kinds = frozenset(k for k in families.data().kinds if net_for(k, kind.family, contents))
    if not kinds:
        return None
    computed = frozenset(k for k in kinds if preprocessor_for(k, contents))
    return ControlSupport(kinds=kinds, computed=computed, max_count=MAX_CONTROL)


def _side(value: object, kind: Kind) -> int:
    side = value if type(value) is int and 64 <= value <= MAX_SIDE else kind.side
    return max(64, side // kind.multiple_of * kind.multiple_of)


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _tags(item: Mapping[str, Any]) -> list[object]:
    tags = item.get("tags")
    return cast("list[object]", tags) if isinstance(tags, list) else []
