"""Turn finished pictures into what programs take: frames, sheets, animations, icons, drawings.

The order: each picture is cut into frames, the frames get one canvas and one baseline, they are
packed into a sheet, and into an animation; what was not packed gets its icons, its SVG, its GIF.
Each file is read again and compared before it is given out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets import animation, frames, icons, sheet, sheet_formats
from ziggie_image_mcp.assets.frames import Frame, Slice
from ziggie_image_mcp.assets.icons import IconSet
from ziggie_image_mcp.assets.sheet import Sheet
from ziggie_image_mcp.assets.sheet_formats import SheetFacts
from ziggie_image_mcp.assets.sheet_names import AnimationFormat, SheetFormat
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.pictures import to_png
from ziggie_image_mcp.storage.side_files import SideFiles, no_side_files

if TYPE_CHECKING:
    from PIL import Image

MAX_KEPT = 64
"""Pictures that one call keeps: frames of a slice that are packed into nothing."""

ANIMATION_SUFFIXES: Mapping[AnimationFormat, str] = {
    "gif": ".gif",
    "apng": ".apng",
    "webp": ".animation.webp",
}


@dataclass(frozen=True, kw_only=True)
class Export:
    """What is to be made of finished pictures."""

    slice: Slice | None = None
    formats: tuple[SheetFormat, ...] = ()
    """Of the sheet's data; empty where no sheet is packed."""
    align: bool = True
    """Each subject is brought onto the middle of its canvas's lower edge."""
    atlas: bool = False
    """The sheet is packed tightly, not on equal cells."""
    columns: int | None = None
    animation: AnimationFormat | None = None
    fps: int | None = None
    icons: IconSet | None = None
    svg: bool = False
    gif: bool = False
    pixel_art: bool = False
    """Pixels stay sharp where the picture is shown larger."""

    @property
    def packs(self) -> bool:
        """Whether all pictures of the call become one result."""
        return bool(self.formats) or self.animation is not None

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the files that stand beside each picture in the end."""
        suffixes = [sheet_formats.SUFFIXES[kind] for kind in self.formats]
        suffixes += [ANIMATION_SUFFIXES[self.animation]] if self.animation else []
        suffixes += icons.icon_suffixes(self.icons) if self.icons else ()
        suffixes += [".svg"] if self.svg else []
        suffixes += [".gif"] if self.gif else []
        return tuple(suffixes)


@dataclass(frozen=True, kw_only=True)
class ExportedPicture:
    """A picture that is to be kept, with the files that belong to it."""

    source: int
    """Of which picture it was made; 0 where it is of all."""
    number: int | None = None
    """Among the frames of its source, from 0; None where it is no frame."""
    image: Image.Image
    side_files: SideFiles = no_side_files
    proofs: tuple[str, ...] = ()


def export(pictures: Sequence[Frame], wanted: Export) -> list[ExportedPicture]:
    """Make of the pictures what is wanted, in the order of the pictures.

    Args:
        pictures: In their order; their names may be the same.
        wanted: What to make.

    Raises:
        InvalidRequest: It cannot be made of these.
        InvalidOutput: A file that was made differs from what it should hold.
    """
    each = [ExportedPicture(source=i, image=one.image) for i, one in enumerate(pictures)]
    if wanted.slice is not None:
        each = [frame for one in each for frame in _sliced(one, wanted.slice)]
    if wanted.packs:
        return [_packed(_named(each, pictures), each, wanted)]
    if len(each) > MAX_KEPT:
        fix = f"{len(each)} frames to keep, and {MAX_KEPT} may be: larger cells, or a sheet of them"
        raise InvalidRequest("slice", wanted.slice, fix)
    return [_accompanied(one, wanted) for one in each]


def _sliced(picture: ExportedPicture, wanted: Slice) -> list[ExportedPicture]:
    """The frames of a picture that show something; how many and how large is their proof."""
    cells = frames.slice_picture(picture.image, wanted)
    full = [(number, cell) for number, cell in enumerate(cells) if not frames.is_empty(cell)]
    if not full:
        raise InvalidRequest("slice", wanted, "all cells are transparent: another picture or grid")
    width, height = cells[0].size
    proof = f"{len(full)} frames of {width}x{height}, of {len(cells)} cells"
    if len(full) < len(cells):
        empty = sorted(set(range(len(cells))) - {number for number, _ in full})
        proof += f"; nothing is in {', '.join(map(str, empty[:20]))} (counted from 0)"
    made = [replace(picture, number=number, image=cell) for number, cell in full]
    made[0] = replace(made[0], proofs=(*picture.proofs, proof))
    return made


def _named(each: Sequence[ExportedPicture], pictures: Sequence[Frame]) -> list[Frame]:
    """The frames under names of their own: the picture's, with a number where it has several."""
    names = [pictures[one.source].name or "frame" for one in each]
    counts: dict[str, int] = {}
    named: list[Frame] = []
    taken = set[str]()
    for name, one in zip(names, each, strict=True):
        own = name
        while names.count(name) > 1 or own in taken:
            own = f"{name}_{counts.setdefault(name, 0)}"
            counts[name] += 1
            if own not in taken:
                break
        taken.add(own)
        named.append(Frame(name=own, image=one.image))
    return named


def _packed(
    named: Sequence[Frame], each: Sequence[ExportedPicture], wanted: Export
) -> ExportedPicture:
    """All frames in one sheet, or, where only an animation is wanted, its first frame."""
    if len(named) > frames.MAX_FRAMES:
        fix = f"at most {frames.MAX_FRAMES:,} frames: larger cells, or fewer pictures"
        raise InvalidRequest("sheet", f"{len(named):,} frames", fix)
    proofs = [proof for one in each for proof in one.proofs]
    field = "sheet" if wanted.formats else "animation"
    named = _on_one_canvas(named, wanted, field, proofs)
    files: dict[str, bytes] = {}
    if wanted.animation is not None:
        fps = wanted.fps or animation.DEFAULT_FPS
        moving = animation.animate([frame.image for frame in named], wanted.animation, fps)
        files[ANIMATION_SUFFIXES[wanted.animation]] = moving.data
        proofs += moving.proofs
    if not wanted.formats:
        return ExportedPicture(
            source=0, image=named[0].image, side_files=lambda _: files, proofs=tuple(proofs)
        )
    packed = sheet.pack_tightly(named) if wanted.atlas else sheet.pack_cells(named, wanted.columns)
    sheet.prove(to_png(packed.image), packed, named)
    kind = "atlas" if wanted.atlas else f"sheet of {packed.columns} columns"
    size = f"{packed.image.width}x{packed.image.height}"
    proofs.append(f"{kind}, {size}: {len(named)} frames, each cut out again and compared")
    return ExportedPicture(
        source=0,
        image=packed.image,
        side_files=lambda name: _data_of(packed, wanted, name) | files,
        proofs=tuple(proofs),
    )


def _on_one_canvas(
    named: Sequence[Frame], wanted: Export, field: str, proofs: list[str]
) -> list[Frame]:
    """The frames in one size, where they belong together.

    Tiles keep their place in their cells, as do the frames of a sheet whose cells are known to
    the pixel, and pictures of an atlas keep their own size.
    """
    sizes = {frame.image.size for frame in named}
    most = frames.MAX_FRAME_PIXELS if wanted.animation is None else frames.MAX_MOVING_PIXELS
    if "tiled" in wanted.formats:
        if len(sizes) > 1:
            shown = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:6])
            fix = f"tiles are of one size, and these are {shown}: give width and height"
            raise InvalidRequest("sheet", "tiled", fix)
        frames.check_room(named, named[0].image.size, field, most)
        return list(named)
    exact = wanted.slice is not None and wanted.slice.in_pixels
    if (
        not wanted.align
        or exact
        or (wanted.atlas and wanted.slice is None and wanted.animation is None)
    ):
        frames.check_room(named, frames.canvas_of(named, aligned=False), field, most)
        return list(named)
    canvas = frames.canvas_of(named, aligned=True)
    frames.check_room(named, canvas, field, most)
    aligned = frames.align(named)
    if any(a is not b for a, b in zip(aligned, named, strict=True)):
        proofs.append(
            f"{len(named)} frames on one canvas of {canvas[0]}x{canvas[1]}, each subject on the "
            "middle of its lower edge"
        )
    return aligned


def _data_of(packed: Sheet, wanted: Export, name: str) -> dict[str, bytes]:
    facts = SheetFacts(
        file_name=name,
        title=packed.frames[0].name.rstrip("0123456789").rstrip("_-") or "sheet",
        fps=wanted.fps or animation.DEFAULT_FPS,
        is_animation=wanted.animation is not None or wanted.fps is not None,
        pixel_art=wanted.pixel_art,
    )
    return {
        sheet_formats.SUFFIXES[kind]: sheet_formats.write(kind, packed, facts)
        for kind in wanted.formats
    }


def _accompanied(picture: ExportedPicture, wanted: Export) -> ExportedPicture:
    """A picture with its icons, its drawing, its GIF."""
    from ziggie_image_mcp.assets import tracing

    image, proofs, files = picture.image, list(picture.proofs), dict[str, bytes]()
    kind = wanted.icons
    if kind is not None:
        made = icons.make_icons(image, kind)
        files |= made.files
        proofs += made.proofs
    if wanted.svg:
        files[".svg"], proof = tracing.trace(image, sharp=wanted.pixel_art)
        proofs.append(proof)
    if wanted.gif:
        still = animation.still_gif(image)
        files[".gif"] = still.data
        proofs += still.proofs

    def side_files(name: str) -> Mapping[str, bytes]:
        if kind != "web":
            return files
        return files | {".webmanifest": icons.web_manifest(PurePath(name).stem)}

    return replace(picture, side_files=side_files, proofs=tuple(proofs))
