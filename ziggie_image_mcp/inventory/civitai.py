"""Ask CivitAI for one version of a model: what it is, what its licence allows, and its file.

By its documentation (developer.civitai.com/site/reference: model-versions, models; 2026-11): read,
never called from here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

import httpx2

from ziggie_image_mcp.inventory.engine_files import Kind
from ziggie_image_mcp.inventory.pipeline_files import RepoFile
from ziggie_image_mcp.inventory.pull_errors import (
    AccessDenied,
    NotAPipeline,
    PullFailed,
    RepositoryNotFound,
)
from ziggie_image_mcp.provider.trust import trusted

HOME_PAGE = "https://civitai.com"
ENDPOINT = "CIVITAI_ENDPOINT"
"""The environment variable with the address of a mirror."""
KEY = "CIVITAI_TOKEN"

TRIES = 5
"""Of a download from which nothing more came."""
_TIMEOUT = httpx2.Timeout(30, connect=10)

_AIR = re.compile(r"(?:urn:)?(?:air:)?(?:[\w.-]+:[\w.-]+:)?civitai:(\d+)(?:@(\d+))?", re.IGNORECASE)
_PAGE = re.compile(r"/models/(\d+)(?:/|$)")
_DOWNLOAD = re.compile(r"/(?:api/download/models|model-versions|api/v1/model-versions)/(\d+)")
_HOSTS = ("civitai.com", "civitai.red", "civitai.green")

_KINDS: Mapping[str, Kind] = {
    "Checkpoint": "checkpoint",
    "LORA": "lora",
    "LoCon": "lora",
    "DoRA": "lora",
    "VAE": "vae",
    "Controlnet": "controlnet",
    "Upscaler": "upscaler",
    "TextualInversion": "embedding",
}
_USES = {
    "Image": "pictures may be sold",
    "RentCivit": "may run on CivitAI for money",
    "Rent": "may run as a paid service",
    "Sell": "the model may be sold",
}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Which model is meant; a version alone says it all, a model alone means its newest."""

    model_id: int | None = None
    version_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a model, with the file that is downloaded of it."""

    id: int
    model_id: int
    title: str
    air: str
    kind: Kind
    base_model: str
    """As CivitAI says it: SDXL 1.0, Illustrious, Flux.1 D."""
    trigger_words: tuple[str, ...]
    licence: tuple[str, ...]
    """What its owner allows and asks for, a clause each."""
    file: RepoFile
    url: str

    @property
    def page(self) -> str:
        """Where it is described."""
        return f"{HOME_PAGE}/models/{self.model_id}?modelVersionId={self.id}"


def reference(name: str) -> Reference | None:
    """What a name means on CivitAI: a version's id, a URL or an AIR; None for any other name.

    >>> reference("urn:air:sdxl:lora:civitai:123@456")
    Reference(model_id=123, version_id=456)
    """
    name = name.strip()
    if name.isascii() and name.isdigit():
        return Reference(version_id=int(name))
    if air := _AIR.fullmatch(name):
        return Reference(model_id=int(air[1]), version_id=int(air[2]) if air[2] else None)
    parts = urlsplit(name)
    host = (parts.hostname or "").removeprefix("www.")
    if parts.scheme not in ("http", "https") or host not in _HOSTS:
        return None
    asked = parse_qs(parts.query).get("modelVersionId", [""])[0]
    if found := _DOWNLOAD.match(parts.path):
        return Reference(version_id=int(found[1]))
    if found := _PAGE.search(parts.path):
        version = int(asked) if asked.isdigit() else None
        return Reference(model_id=int(found[1]), version_id=version)
    return None


class Civitai:
    """CivitAI's REST API, as far as downloads need it."""

    def __init__(self, *, endpoint: str = "", token: str | None = None) -> None:
        """Ask nothing yet.

        Args:
            endpoint: Where it answers, if that is not its home page.
            token: Of an account, for what is not open to everybody. Sent to the endpoint only.
        """
        self.endpoint = endpoint.rstrip("/") or HOME_PAGE
        self._token = token

    def version(self, wanted: Reference) -> Version:
        """What there is of a version, and under what licence.

        Raises:
            RepositoryNotFound: There is none, or it is not published.
            NotAPipeline: It has no file that an engine here may load.
            AccessDenied: It is not open to everybody.
            PullFailed: CivitAI cannot be asked, or its answer is none of its documentation.
        """
        try:
            return self._ask_for(wanted)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
            message = f"{self.endpoint} answers otherwise than its documentation says"
            raise PullFailed(f"{message} ({type(e).__name__}: {e}): get the file by hand") from e

    def _ask_for(self, wanted: Reference) -> Version:
        version_id = wanted.version_id
        if version_id is None:
            model = self._get(f"/api/v1/models/{wanted.model_id}")
            versions = _rows(model.get("modelVersions"))
            if not versions:
                raise RepositoryNotFound(f"Model {wanted.model_id} of CivitAI has no version")
            version_id = int(versions[0]["id"])
        version = self._get(f"/api/v1/model-versions/{version_id}")
        model_id = int(version.get("modelId") or 0)
        if wanted.model_id not in (None, model_id):
            raise RepositoryNotFound(
                f"Version {version_id} of CivitAI is of model {model_id}, not {wanted.model_id}"
            )
        return _version(version, self._get(f"/api/v1/models/{model_id}"))

    def read(self, version: Version, to: BinaryIO, start: int) -> None:
        """Write the file's bytes from `start` on; what breaks off goes on where it ended.

        Raises:
            AccessDenied: Its owner asks for an account, or for more.
            PullFailed: It cannot be downloaded.
            OSError: It cannot be written.
        """
        tries = 0
        with httpx2.Client(timeout=_TIMEOUT, verify=trusted(), follow_redirects=True) as client:
            while True:
                before = to.tell()
                try:
                    self._stream(client, version, to)
                except httpx2.TransportError as e:
                    tries = 1 if to.tell() > before else tries + 1
                    if tries < TRIES:
                        continue
                    message = f"The download from {self.endpoint} broke off ({type(e).__name__})"
                    again = "Run the command again: it goes on where it ended"
                    raise PullFailed(f"{message}. {again}") from e
                return

    def _stream(self, client: httpx2.Client, version: Version, to: BinaryIO) -> None:
        start = to.tell()
        headers = self._headers(version.url) | {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with client.stream("GET", version.url, headers=headers) as answer:
            if answer.status_code == 416:  # all of it is here; its checksum is looked at next
                return
            is_page = answer.headers.get("content-type", "").startswith("text/html")
            if answer.status_code in (401, 403) or (answer.is_success and is_page):
                raise AccessDenied(self._denied(version.page))
            if not answer.is_success:
                raise PullFailed(f"{self.endpoint} answered with status {answer.status_code}")
            if start and answer.status_code == 200:
                to.seek(0)
                to.truncate()
            for piece in answer.iter_bytes():  # as they come: none is lost where it breaks off
                to.write(piece)

    def _get(self, path: str) -> Mapping[str, Any]:
        url = f"{self.endpoint}{path}"
        try:
            answer = httpx2.get(url, headers=self._headers(url), timeout=_TIMEOUT, verify=trusted())
            parsed: object = answer.json() if answer.is_success else {}
        except (httpx2.HTTPError, ValueError) as e:
            raise PullFailed(f"{self.endpoint} cannot be asked ({type(e).__name__})") from e
        if answer.status_code in (401, 403):
            raise AccessDenied(self._denied(HOME_PAGE))
        if answer.status_code == 404:
            what = " ".join(path.split("/")[-2:])
            raise RepositoryNotFound(f"There is no {what} on {self.endpoint}, or not published")
        if not answer.is_success or not isinstance(parsed, dict):
            raise PullFailed(f"{self.endpoint} answered {path} with status {answer.status_code}")
        return cast("dict[str, Any]", parsed)

    def _headers(self, url: str) -> dict[str, str]:
        """The token, for the endpoint alone: a file's address may be another host's."""
        if self._token is None or _origin(url) != _origin(self.endpoint):
            return {}
        return {"Authorization": f"Bearer {self._token}"}

    def _denied(self, page: str) -> str:
        if self._token is None:
            return (
                f"This is not open to everybody: make a token at {HOME_PAGE}/user/account and give "
                "it by `ziggie-image-mcp keys set civitai`"
            )
        return f"The account of your {KEY} may not download this: see {page}"


def _origin(url: str) -> tuple[str, str, int | None]:
    """Who is asked, and whether others can listen."""
    parsed = httpx2.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def _version(version: Mapping[str, Any], model: Mapping[str, Any]) -> Version:
    about: Mapping[str, Any] = version.get("model") or model
    type_, title = str(about.get("type", "")), str(about.get("name", ""))
    kind = _KINDS.get(type_)
    if kind is None:
        raise NotAPipeline(f"{title} of CivitAI is of the type {type_!r}, which no engine loads")
    file = _file(version)
    return Version(
        id=int(version["id"]),
        model_id=int(version.get("modelId") or 0),
        title=f"{title} {version.get('name', '')}".strip(),
        air=str(version.get("air", "")),
        kind=kind,
        base_model=str(version.get("baseModel", "")),
        trigger_words=tuple(str(word) for word in version.get("trainedWords") or ()),
        licence=_licence(model),
        file=RepoFile(
            path=_safe_name(str(file["name"])),
            size=round(float(file.get("sizeKB") or 0) * 1024),
            sha256=str(file["hashes"]["SHA256"]).lower(),
        ),
        url=str(file.get("downloadUrl") or version.get("downloadUrl") or ""),
    )


def _file(version: Mapping[str, Any]) -> Mapping[str, Any]:
    """The safetensors file of a version, the primary one first."""
    named = f"Version {version.get('id')} of CivitAI"
    files = [one for one in _rows(version.get("files")) if one.get("type") in ("Model", "VAE")]
    safe = [one for one in files if str(one.get("name", "")).endswith(".safetensors")]
    if not safe:
        raise NotAPipeline(f"{named} has no .safetensors file, and pickles may run code")
    file = next((one for one in safe if one.get("primary")), safe[0])
    hashes: Mapping[str, Any] = file.get("hashes") or {}
    if not hashes.get("SHA256"):
        raise PullFailed(f"{named} tells no SHA256 of its file, so it is not downloaded")
    return file


def _licence(model: Mapping[str, Any]) -> tuple[str, ...]:
    """What the flags of a model say, in words."""
    allowed = model.get("allowCommercialUse")
    names = re.findall(r"\w+", allowed) if isinstance(allowed, str) else list(allowed or ())
    uses = [_USES[name] for name in names if name in _USES]
    clauses = [", ".join(uses) if uses else "no commercial use is allowed"]
    if model.get("allowNoCredit") is False:
        clauses.append("its creator must be named")
    if model.get("allowDerivatives") is False:
        clauses.append("no merges of it may be shared")
    if model.get("allowDifferentLicense") is False:
        clauses.append("merges keep these permissions")
    return tuple(clauses)


def _safe_name(name: str) -> str:
    r"""A file's name without folders, and of letters that all systems take.

    >>> _safe_name("..\\..\\a/b<c>.safetensors")
    'b_c_.safetensors'
    """
    return re.sub(r"[^\w.()\- ]", "_", re.split(r"[\\/]", name)[-1]).lstrip(". ")


def _rows(value: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        return ()
    return [
        cast("dict[str, Any]", row) for row in cast("list[object]", value) if isinstance(row, dict)
    ]
