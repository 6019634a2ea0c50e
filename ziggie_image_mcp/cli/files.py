"""The files that a person names at the terminal: what is read, and where pictures are put."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ziggie_image_mcp.errors import InvalidRequest, StorageError
from ziggie_image_mcp.provider.capabilities import ProcessedFormat
from ziggie_image_mcp.provider.files import decode_text, read_bounded
from ziggie_image_mcp.provider.systems import put_in_place

FORMATS: Mapping[str, ProcessedFormat] = {
    ".png": "png",
    ".webp": "webp",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".svg": "svg",
    ".gif": "gif",
}
MAX_PROMPT_BYTES = 2**20


def prompt_from_stdin() -> str:
    """The prompt where `-` stands for it.

    Raises:
        InvalidRequest: There is none, or it is no text.
    """
    try:
        text = decode_text(read_bounded(sys.stdin.buffer, MAX_PROMPT_BYTES)).rstrip("\r\n")
    except (OSError, ValueError) as e:
        fix = f"standard input cannot be read: {getattr(e, 'strerror', None) or e}"
        raise InvalidRequest("prompt", "-", fix) from e
    if not text.strip():
        raise InvalidRequest("prompt", "-", "standard input is empty; pipe the prompt into it")
    return text


def existing(name: str) -> Path | str:
    """The whole path of a file; what is none is an id."""
    try:
        path = Path(name).expanduser()
        return path.absolute() if path.exists() else name
    except (OSError, RuntimeError):  # no such user, or too long: said where it is read
        return name


def format_of(
    file: Path, asked: ProcessedFormat | None, *, processed: bool = False
) -> ProcessedFormat:
    """The format of a picture that goes into this file: by its ending, unless one is asked for.

    Args:
        file: Where it goes.
        asked: What `--format` says.
        processed: Whether it is there already, so that it may become a drawing or a GIF.

    Raises:
        InvalidRequest: The ending is none of a picture.
    """
    if asked is not None:
        return asked
    kind = FORMATS.get(file.suffix.lower())
    if kind is None or (kind in ("svg", "gif") and not processed):
        fix = "end its name with .png, .webp or .jpg, or name a --format"
        raise InvalidRequest("--output", str(file), fix)
    return kind


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a picture goes, and by their suffixes the files that belong to it."""

    picture: Path
    side_files: Mapping[str, Path]


def names_side_file(file: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file is called as what stands beside a picture, and not as the picture."""
    ending = file.suffix.lower()
    return ending not in ("", ".png") and any(suffix.endswith(ending) for suffix in suffixes)


def targets(file: Path, count: int, *, force: bool, suffixes: Sequence[str] = ()) -> list[Target]:
    """Where so many pictures go, each of several with its number. All of it is free to be written.

    What belongs to a picture is called as that, with its own suffix. Where `file` is called as
    such a file, that one gets the name, and the picture stands beside it.

    Raises:
        InvalidRequest: There is no such folder, or something stands there.
    """
    try:
        file = file.expanduser().absolute()
        paths = [file]
        if count > 1:
            paths = [file.with_stem(f"{file.stem}-{number}") for number in range(1, count + 1)]
        if not file.parent.is_dir():
            fix = f"there is no folder {file.parent}; make it first"
            raise InvalidRequest("--output", str(file), fix)
        all_targets = [_target(path, suffixes) for path in paths]
        for target in all_targets:
            for path in (target.picture, *target.side_files.values()):
                _check(path, force=force)
    except (OSError, RuntimeError, ValueError) as e:
        fix = f"it is no path: {getattr(e, 'strerror', None) or e}"
        raise InvalidRequest("--output", str(file), fix) from e
    return all_targets


def _target(path: Path, suffixes: Sequence[str]) -> Target:
    side_files = {suffix: path.with_name(path.stem + suffix) for suffix in suffixes}
    if not names_side_file(path, suffixes):
        return Target(picture=path, side_files=side_files)
    own = next(suffix for suffix in suffixes if suffix.endswith(path.suffix.lower()))
    return Target(picture=path.with_suffix(".png"), side_files=side_files | {own: path})


def _check(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise InvalidRequest("--output", str(path), "it is a folder: name a file in it")
    if path.exists() and not path.is_file():
        raise InvalidRequest("--output", str(path), "it is a device or a pipe, and no file")
    if not force and (path.exists() or path.is_symlink()):
        raise InvalidRequest("--output", str(path), "it is there already; --force replaces it")


def write(path: Path, data: bytes, kept: str, *, force: bool) -> None:
    """Write a picture as a whole, or not at all.

    Args:
        path: Of `targets`.
        data: The picture.
        kept: Where it is in any case.
        force: Whether it may take the place of another file.

    Raises:
        StorageError: It cannot be written, or a file came to be there meanwhile.
    """
    try:
        if force:
            put_in_place(path.resolve(), data, 0o666)
            return
        with path.open("xb") as opened:
            try:
                opened.write(data)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except OSError as e:
        message = f"{path} cannot be written: {e.strerror or e}. The picture is kept: {kept}"
        raise StorageError(message) from e


def misnamed(file: Path, kind: ProcessedFormat) -> str:
    """What to say where a file's ending is that of another format than it has; or nothing."""
    own = FORMATS.get(file.suffix.lower())
    if own in (None, kind) or (own == "png" and kind in ("svg", "gif")):
        return ""
    return f"{file.name} is a {kind} in spite of its ending, as --format asked for it"


def names(several: Sequence[str]) -> list[str]:
    """Pictures that were named, files with their whole paths."""
    return [str(existing(name)) for name in several]
