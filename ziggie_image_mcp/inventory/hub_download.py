"""Download a file into the Hub's cache, where its client looks for it."""

from __future__ import annotations

from pathlib import Path

from ziggie_image_mcp.inventory import file_download
from ziggie_image_mcp.inventory.file_download import Told
from ziggie_image_mcp.inventory.hub import Hub, Repository
from ziggie_image_mcp.inventory.pipeline_files import RepoFile
from ziggie_image_mcp.inventory.pull_errors import PullFailed


def linked(hub: Hub, repository: Repository, file: RepoFile) -> Path:
    """Where a whole file shows under its name."""
    return hub.folder(repository) / "snapshots" / repository.commit / file.path


def content(hub: Hub, repository: Repository, file: RepoFile) -> Path:
    """Where the cache keeps the content of a file: by its checksum.

    Raises:
        PullFailed: The Hub told no checksum.
    """
    etag = file.sha256 or file.git_oid
    if not etag:
        raise PullFailed(f"The Hub tells no checksum of {file.path}, so it is not downloaded")
    return hub.folder(repository) / "blobs" / etag


def shown(hub: Hub, repository: Repository, file: RepoFile) -> Path:
    """Where the content of a whole file can be read: under its name, or by its checksum."""
    named = linked(hub, repository, file)
    return named if named.is_file() else content(hub, repository, file)


def bytes_here(hub: Hub, repository: Repository, file: RepoFile) -> int:
    """How many bytes of a file need not be downloaded."""
    if linked(hub, repository, file).is_file():
        return file.size
    return file_download.bytes_here(file, content(hub, repository, file))


def download(hub: Hub, repository: Repository, file: RepoFile, told: Told) -> None:
    """Bring the content of one file into the cache.

    Raises:
        WrongChecksum: It is not what the Hub says. It was removed.
        DiskFull: There is no room. What is here stays, for the next try.
        PullFailed: It cannot be downloaded; see its other children.
    """
    whole = content(hub, repository, file)
    if whole.is_file() or linked(hub, repository, file).is_file():
        told(file.path, file.size)
        return
    file_download.download(
        file,
        whole,
        lambda to, start: hub.read(repository, file, to, start),
        told,
        source=f"the Hub's {repository.name}",
    )


def link(hub: Hub, repository: Repository, file: RepoFile) -> Path:
    """Show a file, whose content is here, under its name. Its path.

    Raises:
        PullFailed: The Hub cannot be asked; see its children.
        DiskFull: It had to be copied, for want of symbolic links, and there is no room.
    """
    whole = content(hub, repository, file)
    try:
        path = hub.link(repository, file)
        if not path.is_symlink():  # a system without them: the client copied it
            whole.unlink(missing_ok=True)
    except OSError as e:
        if e.errno in file_download.NO_ROOM:
            raise file_download.full(e, file, whole) from e
        raise PullFailed(f"{file.path} cannot be written to {hub.folder(repository)}: {e}") from e
    return path
