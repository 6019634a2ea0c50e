"""Read a model file's name as people give them: family, variant, steps, format.

A word counts where it stands for itself: `chroma` in Chroma1-HD and not in zavychromaxl, `v2_1` as
the beginning of a name and not as the version of a fine-tune.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_START, _END = r"(?<![A-Za-z])", r"(?![A-Za-z])"


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_OTHER = _words(
    rf"{_START}sam\d",
    r"rt_?detr",
    r"trellis",
    r"seedvr",
    r"supir",
    r"ace_?step",
    r"stable[-_]?audio",
    r"zero123",
    r"hunyuan[-_]?3d",
    r"ic[-_]?light",
    r"lotus[-_]depth",
    r"depth[-_]?fm",
    r"x4-upscaler",
    r"^\d+x[-_]",
    rf"{_START}pid_",
    r"pixeldit",
    r"omnigen",
    r"ovis[-_]image",
    r"longcat",
    r"ernie[-_]image",
    r"ideogram",
    r"krea[-_]?2",
    rf"{_START}anima{_END}",
    rf"{_START}(lora|lycoris|control[-_]?net|controlnet|ip[-_]?adapter|t2i[-_]?adapter){_END}",
    r"upscaler",
    r"realesrgan",
    r"^vae[-_.]",
    r"animatediff",
    r"mm_sd",
    r"inswapper",
    r"gfpgan",
    r"codeformer",
)
_VIDEO = _words(
    rf"{_START}wan[-_.]?\d",
    rf"{_START}wan{_END}",
    r"hunyuan[-_]?video",
    rf"{_START}ltx",
    rf"{_START}mochi",
    rf"{_START}cosmos",
    r"(?<![A-Za-z_])svd(?![a-z])",
    r"tooncrafter",
    r"dynamicrafter",
    rf"{_START}humo{_END}",
    r"motionctrl",
    r"cogvideo",
    r"framepack",
    r"skyreels",
    rf"{_START}(t2v|i2v|ti2v|v2v|s2v|flf2v){_END}",
    r"stable[-_]video",
)
_FAMILIES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("sdxl-refiner", _words(r"refiner")),
    ("flux3-klein", _words(r"flux[-_. ]?3(?!\d)")),
    ("flux2-klein", _words(r"flux[-_. ]?2.*klein", rf"{_START}klein{_END}", r"klein[-_ ]?[49]b")),
    ("flux2", _words(r"flux[-_. ]?2(?![\d])")),
    ("hunyuan-dit", _words(r"hunyuan[-_ ]?dit")),
    ("hunyuan-image", _words(r"hunyuan[-_ ]?image")),
    ("cascade", _words(r"cascade", rf"{_START}stage[-_][abc]{_END}")),
    ("aura-flow", _words(r"aura[-_ ]?flow")),
    ("kolors", _words(r"kolors")),
    ("sana", _words(rf"{_START}sana{_END}")),
    ("pixart", _words(r"pix[-_ ]?art")),
    ("hidream", _words(r"hi[-_ ]?dream")),
    ("qwen-image", _words(r"qwen")),
    ("z-image", _words(rf"{_START}z[-_ ]?image", rf"{_START}zit{_END}")),
    ("lumina", _words(rf"{_START}lumina", r"neta[-_ ]?yume")),
    ("playground", _words(r"playground[-_ ]?v?2")),
    ("chroma", _words(r"(?<![A-Za-z])chroma(?![a-z])")),
    ("flux1", _words(r"(?<![A-Za-z0-9])f1[ds]")),
)
"""In this order: the first that is found is meant."""

_XL = re.compile(r"[xX][lL](?=$|[^a-z]|v\d)|(?i:sdxl|illustrious|noob(?:ai|v)|pony|ssd[-_]1b)")
_XL_TOO = _words(r"segmind[-_]vega", r"animagine", r"cosxl", rf"{_START}(il|nai)(?=v?\d|[-_])")
_FLUX = _words(r"flux")
_SD3 = _words(r"sd[-_ ]?3(?![\d])", r"sd[-_ ]?3[-_.]?5", r"stable[-_ ]?diffusion[-_ ]?(v)?3")
_SD2 = _words(
    r"sd[-_ ]?turbo",
    r"sd[-_ ]?v?2(?![0-9a-wyz])",
    r"sd[-_ ]?v?2[-_.]?[01](?=\d{3}|\D|$)",
    r"^v2[-_.][01]",
    r"768-v-ema",
    r"512-base-ema",
    r"512-inpainting-ema",
    r"stable[-_ ]?diffusion[-_ ]?v?2",
)
_SD1 = _words(
    r"sd[-_. ]?v?1[-_. ]?[1-5](?!\d)",
    r"sd[-_. ]?v?1(?!\d)",
    rf"{_START}v1[-_.][1-5]",
    r"stable[-_ ]?diffusion[-_ ]?v?1",
    r"instruct[-_]?pix2pix",
    rf"(?<![\d.])1[.]5{_END}(?![\d.])",
)

_KNOWN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("flux1", _words(r"shuttle[-_ ]?3", r"ultrareal[-_ ]?fine", r"pixelwave.*flux")),
    ("sdxl", _words(r"proteus[-_ ]?v?0", r"bigasp", r"cheyenne", r"realisticstockphoto")),
    (
        "sd1",
        _words(
            r"dreamshaper",
            r"realistic[-_ ]?vision",
            r"deliberate[-_ ]?v?[23]",
            r"rev[-_ ]?animated",
            r"epic[-_ ]?realism",
            r"majicmix",
            r"meina(mix|hentai|pastel|alter|unreal)",
            r"anything[-_ ]?v?\d",
            r"counterfeit",
            r"absolute[-_ ]?reality",
            rf"{_START}photon(?=$|lcm|[-_.])",
            r"chilloutmix",
            r"cyber[-_ ]?realistic",
            r"abyssorange|orangemix|aom[23]",
            r"pastel[-_ ]?mix",
            r"toonyou",
            r"ghostmix",
            r"lyriel",
            r"openjourney",
            r"never[-_ ]?ending[-_ ]?dream",
            r"protogen",
            r"edgeofrealism",
            r"analog[-_ ]?(madness|diffusion)",
            r"cetus[-_ ]?mix",
            r"disney[-_ ]?pixar",
            r"perfect[-_ ]?world",
            r"dark[-_ ]?sushi",
            r"dreamlike[-_ ]",
            r"juggernaut[-_ ]?(reborn|aftermath|final)",
            r"icantbelieveitsnotphoto",
            r"rcnz[-_ ]?cartoon",
            r"a[-_ ]?zovya",
            r"inkpunk",
            r"mo[-_ ]?di[-_ ]?diffusion",
            r"waifu[-_ ]?diffusion[-_ ]?v?1",
            r"amireal",
            r"cuteyukimix",
            r"flat2d",
            r"xxmix9",
            r"rundiffusionfx",
        ),
    ),
)
"""Fine-tunes so widespread that their names alone say what they are. Those of other families say
so in their names, and are read before."""

_PLACES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("sdxl", _words(r"^(sd)?xl", r"pony", r"illustrious", r"noob")),
    ("sd1", _words(r"^sd[-_. ]?v?1", r"^v?1[.][45]", r"^15$")),
    ("sd2", _words(r"^sd[-_. ]?v?2", r"^v?2[.][01]")),
    ("sd3", _words(r"^sd[-_. ]?v?3")),
)
"""What a folder's name says of the files in it."""


@dataclass(frozen=True, kw_only=True)
class NameFacts:
    """What a name says."""

    family: str = ""
    guess: str = ""
    """What it is most likely where nothing else speaks."""
    format: Literal["", "gguf", "nf4", "nunchaku"] = ""


def read(path: str, folder: str) -> NameFacts:
    """What a file's name and the folders that it lies in say.

    Args:
        path: As ComfyUI lists it, with slashes.
        folder: `checkpoints` or `diffusion_models`.
    """
    *places, base = path.split("/")
    family = _of_base(base, folder)
    if not family or _is_generic(base):
        for place in reversed(places):
            found = next((f for f, pattern in _PLACES if pattern.search(place)), "")
            found = found or _of_base(place, folder)
            if found and found != "other":
                family = found
                break
    guess = next((f for f, pattern in _KNOWN if pattern.search(base)), "")
    few = re.search(r"light(n)?ing|dmd2?", base, re.IGNORECASE)
    if few and folder == "checkpoints":
        guess = "sdxl"
    return NameFacts(family=family, guess=guess, format=_format(base))


def _is_generic(base: str) -> bool:
    """Whether a file is called as all are that came out of a repository of the Hub."""
    return base.lower().startswith(("diffusion_pytorch_model", "model.", "pytorch_model"))


def _of_base(base: str, folder: str) -> str:
    if _OTHER.search(base):
        return "other"
    if _VIDEO.search(base):
        return "video"
    for family, pattern in _FAMILIES:
        if pattern.search(base):
            return family
    has_xl = _XL.search(base) or _XL_TOO.search(base)
    if _FLUX.search(base) and not (has_xl and folder == "checkpoints"):
        return "flux1"
    if has_xl:
        return "sdxl"
    for family, pattern in (("sd3", _SD3), ("sd2", _SD2), ("sd1", _SD1)):
        if pattern.search(base):
            return family
    return ""


def _format(base: str) -> Literal["", "gguf", "nf4", "nunchaku"]:
    if re.search(r"(?<![a-z])svdq|nunchaku", base, re.IGNORECASE):
        return "nunchaku"
    if re.search(r"(?<![A-Za-z])nf4(?![a-z0-9])|(?<![A-Z])NF4(?![a-z0-9])|Nf4(?![a-z0-9])", base):
        return "nf4"
    return "gguf" if base.lower().endswith(".gguf") else ""


def variant(path: str, family: str) -> tuple[str, int | None]:
    """How a model of a family differs from its plain one, and how few steps its name tells."""
    *places, base = path.split("/")
    special = _special(path if _is_generic(base) else base, family)
    steps = _steps(base)
    few = next((word for part in (base, *places) if (word := _few(part))), "")
    if steps is not None and not few:
        few = "few-step"
    if special == "edit" and few:
        return "edit-lightning", steps
    return special or _named(base, family, few), steps


def _special(base: str, family: str) -> str:
    """A variant that does another thing than pictures from text."""
    plain = base.lower()
    if family == "flux1":
        found = re.search(r"(?<![a-z])(canny|depth)(?![a-z])|fill(?![a-z]*ing)|kontext", plain)
        if found:
            return found[0]
    if family in ("qwen-image", "hidream") and re.search(
        r"(?<![a-z])edit(?![a-z])|hidream[-_ ]?e1", plain
    ):
        return "edit"
    if family == "qwen-image" and "layered" in plain:
        return "layered"
    if family == "chroma" and "radiance" in plain:
        return "radiance"
    if re.search(r"instruct[-_]?pix2pix|(?<![a-z])ip2p(?![a-z])|cosxl[-_ ]?edit", plain):
        return "instruct"
    return "inpaint" if "inpaint" in plain else ""


def _named(base: str, family: str, few: str) -> str:
    plain = base.lower()
    if family == "sdxl":
        if re.search(r"sd_?xl[-_]?turbo", plain):
            return "turbo-official"
        if re.search(r"sd_?xl[-_]?base", plain) and not few:
            return "base"
    if family == "flux1" and ("schnell" in plain or "shuttle" in plain):
        return "schnell"
    if family == "hidream":
        return next((v for v in ("dev", "fast") if v in plain), "")
    if family == "qwen-image" and re.search(r"(?<!\d)2[-_.]1(?!\d)", plain):
        return "2.1"
    if family == "qwen-image" and not few:
        return "2512" if "2512" in plain else "few-step" if "distill" in plain else ""
    if family in ("flux2-klein", "flux3-klein"):
        size = "9b" if "9b" in plain and family == "flux2-klein" else ""
        base_model = "base" if re.search(r"(?<![a-z])base(?![a-z])|Base(?![a-z])", base) else ""
        return "-".join(filter(None, (base_model, size)))
    if family == "sd2" and "512" in plain and not few:
        return "512"
    return few


def _few(text: str) -> str:
    """What a model of few steps calls its way."""
    plain = text.lower()
    for word, pattern in _FEW:
        if pattern.search(plain):
            return word
    return ""


_FEW: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("dmd", _words(r"dmd2?(?![a-z])")),
    ("lightning", _words(r"lightn?ing(?![a-z]*(style|mix|test))")),
    ("hyper", _words(r"hyper(?!real|ion|ia|spire|fusion|mix|link|fantasy|detail)")),
    ("lcm", _words(r"lcm")),
    ("turbo", _words(r"turbo(?!charged)")),
    ("few-step", _words(r"sdxl[-_]?flash")),
)


def _steps(base: str) -> int | None:
    """A number of steps; where versions run into it, as in v308Steps, its last digit."""
    match = re.search(r"(\d+)[-_ ]?steps?", base, re.IGNORECASE)
    if match is None:
        return None
    number = int(match[1])
    return number if 1 <= number <= 16 else number % 10 or None
