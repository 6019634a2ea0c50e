"""Find the words of a prompt that ask for what only an argument, or nothing here, can give.

A model draws what it reads: a "transparent background" comes out as a painted chessboard. So the
answer says which argument asks for the thing itself, or that no route here has it. What is found
are phrases that can mean little else: a false alarm teaches callers to read no notes.
"""

# ruff: noqa: RUF001 (prompts have letters and quotation marks of all kinds)

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Literal, NamedTuple

from ziggie_image_mcp.provider.nouns import Model, is_present
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import declared_arguments

Wish = Literal["transparent", "seamless", "text"]


class Phrase(NamedTuple):
    """Words of a prompt that ask for something."""

    wish: Wish
    words: str


_END = r"(?=\s*(?:$|[,.;:!?)\]|、。]|and\b|or\b|just\b|only\b|please\b|at all\b|png\b))"
_GROUND = r"(?:background|backdrop|bg)"

_TRANSPARENT = (
    rf"\b(?:transparent|see-through|alpha)\s+{_GROUND}\b"
    rf"|\b{_GROUND}\s*(?:is|:|=|should be|must be)?\s*(?:fully\s+|completely\s+)?transparent\b"
    rf"|\b(?:no|without(?:\s+an?y?)?|remove(?:d)?(?:\s+the)?)\s+{_GROUND}{_END}"
    rf"|\b{_GROUND}(?:\s+is|\s+was)?\s+removed\b|\b{_GROUND}(?:-|\s)?less\b"
    rf"|\btransparent\s+(?:png|webp|sticker)\b"
    r"|\b(?:png|webp|image|file)\s+with\s+(?:an?\s+)?(?:transparency|alpha)\b"
    r"|\balpha[- ]channel\b|\bisolated\s+on\s+transparen\w+"
    r"|\b(?:transparente[rnms]?|durchsichtige[rnms]?)\s+hintergrund\b|\bohne\s+hintergrund\b"
    r"|\b(?:fond|arri[eè]re-plan)\s+transparent\b|\bsans\s+(?:fond|arri[eè]re-plan)\b"
    r"|\bfondo\s+transparente\b|\bsin\s+fondo\b|\bsfondo\s+trasparente\b|\bsenza\s+sfondo\b"
    r"|\bfundo\s+transparente\b|\bsem\s+fundo\b|\bпрозрачн\w+\s+фон\w*|\bбез\s+фона\b"
    r"|透明背景|背景透明|无背景|透明な背景|背景透過|透過背景"
)

_WORN = r"(?<!\bwith )(?<!\bwith a )(?<!\bwearing )(?<!\bwearing a )(?<!\bhas a )"
_BETWEEN = r"(?:(?!(?:with|in|on|of|and|for|floor|wall|stockings|tights)\b)[\w-]+,?\s+){0,3}?"
_TILE = r"(?:textures?|patterns?|tilesets?|tiles?|wallpaper|swatch|fabric print|repeat)"
_NO_ROOM = r"(?!\s+(?:floor|flooring|wall|walls|roof|shower|bathroom|kitchen|pool)\b)"

_SEAMLESS = (
    rf"{_WORN}\bseamless(?:ly)?[\s,-]+{_BETWEEN}{_TILE}\b{_NO_ROOM}"
    r"|\btil(?:e)?able\b"
    rf"|{_WORN}\btiling\s+{_BETWEEN}(?:texture|pattern)s?\b"
    r"|\b(?:tiles|tile|tiling|repeats|repeat|repeating|wraps)\s+seamlessly\b"
    rf"|\b{_TILE}\s*,\s*seamless\b"
    r"|\bnahtlose[srnm]?\s+(?:\w+\s+){0,2}(?:\w*kachel\w*|\w*textur\w*|\w*muster\w*)|\bkachelbar\w*"
    r"|\b(?:texture|motif)s?\s+(?:\w+\s+)?(?:sans\s+couture|raccordable)s?\b"
    r"|\b(?:textura|patr[oó]n|padr[aã]o)\s+(?:\w+\s+)?(?:sin\s+costuras|sem\s+costura|repetible)\b"
    r"|\bбесшовн\w+\s+(?:\w+\s+)?(?:текстур|паттерн|узор|плитк)\w*"
    r"|无缝(?:纹理|图案|贴图|拼接)|シームレス(?:な)?(?:テクスチャ|パターン|タイル)"
)

_QUOTED = (
    r"(?:[\"“”„][^\"“”„]{1,80}[\"“”]|«[^»]{1,80}»|「[^」]{1,80}」"
    r"|(?<!\w)[‘'][^‘’'\n]{1,60}[’'](?!\w))"
)
_SAYING = (
    r"(?:says?|saying|that\s+reads?|reading|reads|which\s+reads|spelling(?:\s+out)?|spells(?:\s+out)?"
    r"|written|lettered|labell?ed|engraved|inscribed|printed|captioned"
    r"|aufschrift|schriftzug|steht|qui\s+dit|que\s+dice|che\s+dice|com\s+a\s+palavra)"
)
_LETTERS = (
    r"(?:text|texts|words?|letters|lettering|caption|title|slogan|headline|inscription|typography"
    r"|texte|mot|texto|palabra|testo|wort|wörtern|надпис\w+)"
)
_BEARER = (
    r"(?:sign|signs|signboard|billboard|banner|poster|placard|label|sticker|logo|t-shirt|shirt|mug"
    r"|cake|card|cover|badge|neon|plaque|chalkboard|blackboard|whiteboard|flag|tattoo|schild"
    r"|panneau|letrero|cartel)"
)
_UNREAD = (
    r"(?:a|an|the|his|her|their|my|your|our|its|something|nothing|books?|newspapers?|in|on|to|by)\b"
)

_TEXT = (
    # Quoted words after what says that they are words.
    rf"\b(?:{_SAYING}|{_LETTERS}|{_BEARER})\s*[:=,]?\s*"
    rf"(?:(?:on\s+it|in\s+it|as|is|with|the|a|of|bold|big|large|red|blue|white|black|neon|out|word"
    rf"|words|text|letters|lettering|mit|der|dem|des)\s+){{0,4}}{_QUOTED}"
    # and before it: "OPEN" written on a sign
    rf"|{_QUOTED}\s+(?:is\s+)?(?:written|in\s+(?:\w+\s+){{0,2}}letters|lettering|text|sign|logo"
    rf"|painted\s+on|printed|engraved|spelled)\b"
    # Without quotes: the word HELLO, a sign saying Closed.
    rf"|\b(?:the|with)\s+(?:the\s+)?(?:(?-i:word|words|text|letters|lettering|caption|slogan"
    rf"|headline|inscription))\s*:?\s+(?-i:[A-ZÄÖÜ0-9][\w!?&'-]*)"
    rf"|\b{_BEARER}\s+(?:that\s+|which\s+)?(?:says?|saying|spelling|spells)\s+(?:{_QUOTED}|(?!{_UNREAD})\w[\w!?'-]*)"
    rf"|\b{_BEARER}\s+(?:that\s+|which\s+)?(?:reading|reads|read)\s*:?\s+(?-i:[A-ZÄÖÜ][\w!?'-]*)"
    # Text that is to be legible.
    r"|\b(?:legible|readable|correctly\s+spelled)\s+(?:\w+\s+)?(?:text|words|letters|lettering|sign)\b"
)

_PATTERNS: dict[Wish, str] = {
    "transparent": _TRANSPARENT,
    "seamless": _SEAMLESS,
    "text": _TEXT,
}
"""Compiled when the first prompt is read: a start need not wait for it."""

_LEAD_IN = (
    r"(?:,?\s*\b(?:(?:isolated|set|placed|standing)\s+)?"
    r"(?:on|with|against|over|in|as|mit|auf|avec|sur|con|su|com)\s+)?(?:\b(?:an?|the|einem)\s+)?"
)
"""What goes with such words, where a prompt is sent without them."""

_NEGATED = re.compile(
    r"(?:\b(?:not|no|non|never|without|instead\s+of|kein\w*|ohne|sans|sin)|n't)[\s-]+(?:\w+\s+){0,3}$",
    re.IGNORECASE,
)
"""What makes the words after it the opposite of a wish."""

BEFORE = 60
"""Characters before a phrase in which that is looked for."""

SHOWN = 60
"""Characters of a phrase that a note repeats."""


@lru_cache(maxsize=256)
def wishes(prompt: str) -> tuple[Phrase, ...]:
    """What the words of a prompt ask for, each wish once."""
    plain = " ".join(prompt.split())
    phrases: list[Phrase] = []
    for wish, pattern in _PATTERNS.items():
        for match in _compiled(pattern).finditer(plain):
            if not _NEGATED.search(plain, max(0, match.start() - BEFORE), match.start()):
                phrases.append(Phrase(wish, match[0].strip(" ,")))
                break
    return tuple(phrases)


def without_wish(prompt: str, wish: Wish) -> str:
    """The prompt without the words that ask for something."""
    plain = " ".join(prompt.split())
    pattern = _compiled(_LEAD_IN + f"(?P<words>{_PATTERNS[wish]})")
    start, kept = 0, list[str]()
    for match in pattern.finditer(plain):
        words = match.start("words")
        if not _NEGATED.search(plain, max(0, words - BEFORE), words):
            kept.append(plain[start : match.start()])
            start = match.end()
    return "".join([*kept, plain[start:]]).strip(" ,、，") if kept else prompt


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def prompt_notes(model: Model, ctx: RoutingContext) -> list[str]:
    """What a caller must know of the words of a prompt that no model obeys. A sentence each."""
    request = ctx.request
    if ctx.task in ("upscale", "remove_background"):
        return []
    notes: list[str] = []
    for wish, words in wishes(request.prompt):
        words = words if len(words) <= SHOWN else f"{words[:SHOWN]}…"
        if wish == "text":
            notes.append(_about_text(words, model))
        elif not getattr(request, wish):
            notes.append(_about_option(wish, words, ctx))
    return notes


def _about_option(wish: Literal["transparent", "seamless"], words: str, ctx: RoutingContext) -> str:
    thing = {"transparent": "real alpha", "seamless": "edges that meet"}[wish]
    kind = "generate" if ctx.request.image is None else "edit"
    declared = any(argument.name == wish for argument in declared_arguments(kind))
    able = any(
        is_present(m) and (c := m.tasks.get(ctx.task)) is not None and wish in c.options
        for m in ctx.survey.models
    )
    if declared and (able or ctx.task == "text_to_image"):  # of others it is emulated
        return f"{wish}: true asks for {thing}; words in the prompt ({words!r}) do not"
    return f"no route here gives {thing}; words in the prompt ({words!r}) do not either"


def _about_text(words: str, model: Model) -> str:
    if model.demo:
        return f"no letters can be read in what the demo model makes ({words!r})"
    return f"no route here checks letters: {model.id} may misspell what is to be read ({words!r})"
