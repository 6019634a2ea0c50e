"""Ask the Hugging Face Hub, or the mirror that HF_ENDPOINT names, through its own client.

The client is imported on use. Its downloads begin anew after a kill (huggingface_hub 2.4.0 gives
each try a file of its own): `hub_download` goes on instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from ziggie_image_mcp.inventory.pipeline_files import RepoFile
from ziggie_image_mcp.inventory.pull_errors import (
    AccessDenied,
    HubClientMissing,
    PullFailed,
    RepositoryNotFound,
)

HOME_PAGE = "https://huggingface.co"
"""Where terms are accepted, also for those who download from a mirror."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository at one commit."""

    name: str
    """owner/name."""
    revision: str
    """As it was asked for: a branch, a tag or a commit."""
    commit: str
    license: str
    """As its card says; empty where it says none."""
    gated: bool
    """Its terms must be accepted first."""
    files: tuple[RepoFile, ...]
    tags: tuple[str, ...] = ()
    """As its card and the Hub say: lora, controlnet, text-to-image."""

    @property
    def page(self) -> str:
        """Where its terms stand."""
        return f"{HOME_PAGE}/{self.name}"


class Hub:
    """The Hub's client, with its errors in our words."""

    def __init__(self, *, install: str) -> None:
        """Import the client.

        Args:
            install: The command that installs it here.

        Raises:
            HubClientMissing: It is not installed.
        """
        try:
            self._client: Any = import_module("huggingface_hub")
        except ImportError as e:
            message = (
                f"Models are downloaded with huggingface_hub, which is not installed: {install}"
            )
            raise HubClientMissing(message) from e
        self._files: Any = import_module("huggingface_hub.file_download")
        self._errors: Any = import_module("huggingface_hub.errors")
        constants: Any = import_module("huggingface_hub.constants")
        self.cache = Path(constants.HF_HUB_CACHE)
        self.endpoint: str = constants.ENDPOINT
        self._client.utils.disable_progress_bars()
        self._client.utils.logging.set_verbosity_error()

    def repository(self, name: str, revision: str) -> Repository:
        """What a repository holds.

        Raises:
            PullFailed: It cannot be asked, or there is none; see its children.
        """
        with self._told(name):
            info = self._client.HfApi().model_info(name, revision=revision, files_metadata=True)
        card: Any = info.card_data or {}
        license: Any = card.get("license_name") or card.get("license") or ""
        return Repository(
            name=info.id,
            revision=revision,
            commit=info.sha,
            license=license if isinstance(license, str) else ", ".join(map(str, license)),
            gated=bool(info.gated),
            files=tuple(_file(one) for one in info.siblings or ()),
            tags=tuple(str(tag) for tag in info.tags or ()),
        )

    def read(self, repository: Repository, file: RepoFile, to: BinaryIO, start: int) -> None:
        """Write a file's bytes from `start` on; what a server sends in vain anew is written anew.

        Raises:
            PullFailed: It cannot be downloaded; see its children.
            OSError: It cannot be written.
        """
        url = self._client.hf_hub_url(repository.name, file.path, revision=repository.commit)
        headers = self._client.utils.build_hf_headers()
        headers["Accept-Encoding"] = "identity"
        try:
            with self._told(repository.name):
                self._files.http_get(
                    url, to, resume_size=start, headers=headers, expected_size=file.size
                )
        except OSError as e:
            if e.errno is not None:
                raise
            message = f"{self.endpoint} sent another number of bytes for {file.path} than it told"
            raise PullFailed(f"{message}: run the command again") from e

    def link(self, repository: Repository, file: RepoFile) -> Path:
        """Show a file, whose content lies in the cache, under its name in the commit's folder.

        Raises:
            PullFailed: The Hub cannot be asked; see its children.
        """
        with self._told(repository.name):
            path = self._client.hf_hub_download(
                repository.name, file.path, revision=repository.commit
            )
        return Path(path)

    def folder(self, repository: Repository) -> Path:
        """Where the cache keeps a repository."""
        name = self._files.repo_folder_name(repo_id=repository.name, repo_type="model")
        return self.cache / str(name)

    @contextmanager
    def _told(self, name: str) -> Generator[None]:
        errors, token = self._errors, bool(self._client.get_token())
        page = f"{HOME_PAGE}/{name}"
        try:
            yield
        except errors.GatedRepoError as e:
            raise AccessDenied(_gate_sentence(page, token=token)) from e
        except errors.RevisionNotFoundError as e:
            raise RepositoryNotFound(f"{name} has no such revision: see {page}/tree/main") from e
        except errors.RepositoryNotFoundError as e:
            more = "or your token may not see it" if token else "or it is private: set HF_TOKEN"
            raise RepositoryNotFound(f"There is no model {name} on {self.endpoint}, {more}") from e
        except errors.HFValidationError as e:
            raise RepositoryNotFound(f"{name!r} is no repository: give owner/name") from e
        except errors.HfHubHTTPError as e:
            raise _http_error(e, page, self.endpoint) from e
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as e:
            message = f"{self.endpoint} cannot be reached, or HF_HUB_OFFLINE is set: {e}"
            raise PullFailed(message) from e
        except (errors.HTTPError, ValueError) as e:
            message = f"The download from {self.endpoint} broke off ({e or type(e).__name__})"
            raise PullFailed(f"{message}. Run the command again: it goes on where it ended") from e


def cache_disk() -> Path:
    """A folder on the disk to which models are downloaded; it may not exist yet."""
    try:
        constants: Any = import_module("huggingface_hub.constants")
    except ImportError:
        return Path.home()  # below which the cache is, unless an environment variable says else
    return Path(constants.HF_HUB_CACHE)


def settings(text: bytes, name: str) -> dict[str, Any]:
    """The content of a model_index.json.

    Raises:
        PullFailed: It is none.
    """
    try:
        index: object = json.loads(text)
    except ValueError as e:
        raise PullFailed(f"The model_index.json of {name} is no JSON") from e
    if not isinstance(index, dict):
        raise PullFailed(f"The model_index.json of {name} is no JSON object")
    return {str(key): value for key, value in index.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit's full hash, which never moves."""
    return _COMMIT.fullmatch(revision) is not None


def _file(sibling: Any) -> RepoFile:
    lfs = sibling.lfs
    return RepoFile(
        path=sibling.rfilename,
        size=sibling.size or 0,
        sha256=lfs.sha256 if lfs else None,
        git_oid=None if lfs else sibling.blob_id,
    )


def _gate_sentence(page: str, *, token: bool) -> str:
    if token:
        return (
            f"The account of your token may not download this model: accept its terms at {page} "
            "with that account, or wait where its owner must agree, and run the command again"
        )
    return (
        f"This model is gated: accept its terms at {page}, then set HF_TOKEN to a token of that "
        f"account (made at {HOME_PAGE}/settings/tokens) and run the command again"
    )


def _http_error(error: Any, page: str, endpoint: str) -> PullFailed:
    status = error.response.status_code
    if status in (401, 403):
        fix = f"see {page}, and give HF_TOKEN a token that may read it"
        return AccessDenied(f"{endpoint} refused the token or the download ({status}): {fix}")
    return PullFailed(f"{endpoint} answered with status {status}: try again later")
