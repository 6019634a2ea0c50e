"""Serve the gallery: its page, its data as JSON, and the few changes that it may make."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any, cast
from urllib.parse import quote

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ziggie_image_mcp.app import gallery, gallery_plots
from ziggie_image_mcp.app.gallery_again import Again, Asker, Remakes
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import ImageError, ImageNotFound, InvalidRequest, StorageError
from ziggie_image_mcp.jobs import owners
from ziggie_image_mcp.jobs.errors import JobNotFound
from ziggie_image_mcp.provider.pictures import media_type
from ziggie_image_mcp.server.arguments import check_call
from ziggie_image_mcp.server.callers import caller, data_for_caller, for_caller, hide, reach
from ziggie_image_mcp.server.gallery import origins
from ziggie_image_mcp.server.gallery.previews import Previews
from ziggie_image_mcp.server.gallery.sessions import COOKIE, SESSION_SECONDS, Sessions
from ziggie_image_mcp.server.mcp_server import Open
from ziggie_image_mcp.server.web_app import GALLERY

BODY_BYTES = 16 * 1024
_MEDIA = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_KEPT = {"Cache-Control": "private, max-age=3600"}
_FRESH = {"Cache-Control": "no-store"}
_OWN_WORDS = ("prompt", "negative_prompt")
"""Fields that the caller wrote."""

Answer = Callable[[Request, Service], Awaitable[Response]]


class Gallery:
    """The gallery before the application of MCP, to which all other paths go.

    Args:
        opener: Opens the service.
        sessions: Knows who signed in.
    """

    def __init__(self, opener: Open, sessions: Sessions) -> None:
        self.sessions = sessions
        self._opener = opener
        self._previews = Previews()
        self._remakes = Remakes()
        self._static = _static_files()
        handlers: dict[Any, Any] = {HTTPException: _refusal, Exception: _failure}
        self._app = Starlette(routes=self._routes(), exception_handlers=handlers)

    def before(self, app: ASGIApp) -> ASGIApp:
        """This gallery at its paths, and the application at all others."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"] if scope["type"] == "http" else ""

            async def send_bound(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(origins.HEADERS)
                await send(message)

            if path == "/" or f"{path}/".startswith(f"{GALLERY}/"):
                await self._app(scope, receive, send_bound)
            else:
                await app(scope, receive, send)

        return serve

    def _routes(self) -> list[Route]:
        def get(path: str, answer: Answer) -> Route:
            return Route(f"{GALLERY}/{path}", partial(self._guarded, answer), methods=["GET"])

        def post(path: str, answer: Answer) -> Route:
            return Route(f"{GALLERY}/{path}", partial(self._guarded, answer), methods=["POST"])

        return [
            Route("/", self._page, methods=["GET"]),
            Route(f"{GALLERY}/static/{{name}}", self._file, methods=["GET"]),
            Route(f"{GALLERY}/session", self._sign_in, methods=["POST"]),
            Route(f"{GALLERY}/sign-out", self._sign_out, methods=["POST"]),
            get("session", _who),
            get("pictures", _pictures),
            get("pictures/{id}", _picture),
            get("pictures/{id}/thumbnail", _thumbnail),
            get("pictures/{id}/file", _picture_file),
            post("pictures/{id}/again", self._again),
            post("pictures/{id}/decline", self._decline),
            get("jobs", self._jobs),
            get("jobs/{id}/preview", self._preview),
            post("jobs/{id}/cancel", _cancel),
            get("money", _money),
            get("speeds", _speeds),
            get("machine", _machine),
        ]

    async def _page(self, request: Request) -> Response:
        return self._static_answer("index.html")

    async def _file(self, request: Request) -> Response:
        refused = _refused(request)
        return refused or self._static_answer(str(request.path_params["name"]))

    def _static_answer(self, name: str) -> Response:
        kept = self._static.get(name)
        if kept is None:
            return _error(404, "NOT_FOUND", "There is no such file.")
        media, data = kept
        return Response(data, media_type=media, headers={"Cache-Control": "no-cache"})

    async def _sign_in(self, request: Request) -> Response:
        refused = _refused(request)
        if refused is not None:
            return refused
        try:
            body = await _body(request)
        except InvalidRequest as e:
            return _error(400, e.code, str(e))
        name = self.sessions.name_of_token(str(body.get("token") or ""))
        name = name or self.sessions.name_of_code(str(body.get("code") or ""))
        if name is None:
            return _error(401, "SIGN_IN", "This is no token of this server. Try again.")
        answer = _json({"name": name})
        answer.set_cookie(
            COOKIE,
            self.sessions.cookie(name),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def _sign_out(self, request: Request) -> Response:
        refused = _refused(request)
        if refused is not None:
            return refused
        answer = _json({})
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def _guarded(self, answer: Answer, request: Request) -> Response:
        """Answer those who may ask, as the caller that they are."""
        refused = _refused(request)
        if refused is not None:
            return refused
        name = self._name(request)
        if self.sessions.asked and name is None:
            return _error(401, "SIGN_IN", "Sign in with the token of this server.")
        before = auth_context_var.set(None if name is None else _user(name))
        try:
            service = await self._opener()
            if name is not None:
                hide(service.folders())
            return await answer(request, service)
        except ImageError as e:
            return _error(_status(e), e.code, for_caller(str(e)))
        finally:
            auth_context_var.reset(before)

    def _name(self, request: Request) -> str | None:
        """Who asks, by the token of a program or the cookie of a browser."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.sessions.name_of_token(token.strip())
        return self.sessions.name_of_cookie(request.cookies.get(COOKIE, ""))

    async def _jobs(self, request: Request, service: Service) -> Response:
        self._previews.attach(service)
        only_open = request.query_params.get("open") == "1"
        data = await gallery.jobs(service, caller(), only_open=only_open)
        for job in data["open"]:
            job["preview"] = self._previews.number(job["id"])
        return _json(data)

    async def _preview(self, request: Request, service: Service) -> Response:
        job_id = str(request.path_params["id"])
        data = self._previews.picture(job_id) if owners.job_belongs(job_id, caller()) else None
        if data is None:
            return _error(404, "NOT_FOUND", "This job shows nothing of its work.")
        return _image(data, _FRESH)

    async def _again(self, request: Request, service: Service) -> Response:
        wish = _wish(request, await _body(request))
        return _json(await self._remakes.again(service, wish, _asker()))

    async def _decline(self, request: Request, service: Service) -> Response:
        await self._remakes.decline(service, _wish(request, await _body(request)), _asker())
        return _json({})


def _asker() -> Asker:
    return Asker(caller=caller(), reach=reach())


async def _who(request: Request, service: Service) -> Response:
    return _json({"name": caller() or ""})


async def _pictures(request: Request, service: Service) -> Response:
    asked = request.query_params
    search = gallery.search_of(
        asked.get("query", ""),
        asked.get("model", ""),
        asked.get("first", ""),
        asked.get("last", ""),
        caller(),
    )
    page = _number("page", asked.get("page", "1"))
    return _json(await gallery.pictures(service, search, page))


async def _picture(request: Request, service: Service) -> Response:
    return _json(await gallery.picture(service, request.path_params["id"], caller()))


async def _thumbnail(request: Request, service: Service) -> Response:
    return _image(await gallery.thumbnail(service, request.path_params["id"], caller()), _KEPT)


async def _picture_file(request: Request, service: Service) -> Response:
    name, data = await gallery.file(service, request.path_params["id"], caller())
    shown = {"Content-Disposition": f"inline; filename*=UTF-8''{quote(name)}"}
    return _image(data, {**_KEPT, **shown})


async def _cancel(request: Request, service: Service) -> Response:
    view = await service.cancel(request.path_params["id"], caller())
    return _json({"job": gallery.job_row(view)})


async def _money(request: Request, service: Service) -> Response:
    days = _number("days", request.query_params.get("days", "30"))
    if not 1 <= days <= gallery_plots.MOST_DAYS:
        raise InvalidRequest("days", days, f"1 to {gallery_plots.MOST_DAYS}")
    return _json(await gallery_plots.money(service, caller(), days))


async def _speeds(request: Request, service: Service) -> Response:
    return _json({"speeds": await gallery_plots.speeds(service)})


async def _machine(request: Request, service: Service) -> Response:
    return _json(await gallery.machine(service))


def _wish(request: Request, body: Mapping[str, object]) -> Again:
    """What the page asks to be made again.

    Raises:
        InvalidRequest: A field is of another type.
    """

    def whole(field: str) -> int | None:
        value = body.get(field)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise InvalidRequest(field, value, "give a whole number, or leave it out")
        return value

    request_id = str(body.get("request_id") or "")
    check_call(None, request_id)
    return Again(
        image_id=str(request.path_params["id"]),
        same_seed=body.get("same_seed") is True,
        seed=whole("seed"),
        agreed_micro_usd=whole("agreed_micro_usd"),
        request_id=request_id,
    )


async def _body(request: Request) -> dict[str, object]:
    """The JSON object that was sent.

    Raises:
        InvalidRequest: It is none, or is too long.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > BODY_BYTES:
            raise InvalidRequest("body", f"{len(data)} bytes", f"at most {BODY_BYTES}")
    try:
        body: object = json.loads(data) if kind == "application/json" else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InvalidRequest("body", kind, "send an object as application/json")
    return cast(dict[str, object], body)


def _number(field: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest(field, text, "give a whole number")
    return int(text)


def _refused(request: Request) -> Response | None:
    why = origins.refusal(request)
    return _error(403, "FOREIGN_PAGE", why) if why else None


def _user(name: str) -> AuthenticatedUser:
    return AuthenticatedUser(AccessToken(token="", client_id=name, scopes=[], expires_at=None))


def _status(error: ImageError) -> int:
    if isinstance(error, ImageNotFound | JobNotFound):
        return 404
    if isinstance(error, InvalidRequest):
        return 400
    return 503 if isinstance(error, StorageError) else 409


async def _refusal(request: Request, error: HTTPException) -> Response:
    answer = _error(error.status_code, "REFUSED", f"{error.detail}.")
    answer.headers.update(error.headers or {})
    return answer


async def _failure(request: Request, error: Exception) -> Response:
    return _error(500, "FAILED", "The server failed: its log tells why.")


def _json(data: Mapping[str, Any]) -> Response:
    return JSONResponse(data_for_caller(data, _OWN_WORDS), headers=_FRESH)


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status, _FRESH)


def _image(data: bytes, headers: Mapping[str, str]) -> Response:
    return Response(data, media_type=media_type(data), headers=headers)


def _static_files() -> dict[str, tuple[str, bytes]]:
    """The files of the page by name, with their media types."""
    static: dict[str, tuple[str, bytes]] = {}
    for file in files("ziggie_image_mcp.server.gallery").joinpath("static").iterdir():
        media = _MEDIA.get(f".{file.name.rpartition('.')[2]}")
        if media is not None:
            static[file.name] = media, file.read_bytes()
    return static
