"""A host of MCP Apps in a real browser: the official bridge, wired to a client of a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from jsonschema import Draft202012Validator  # type: ignore[import-untyped, unused-ignore]
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.types import CallToolResult, TextResourceContents
from playwright.async_api import Browser, ConsoleMessage, Frame, Page, Route

from ziggie_image_mcp.server.apps import RESULT_APP

HERE = Path(__file__).parent
PACKAGES = (
    "@modelcontextprotocol/ext-apps@2.0.4",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/core@2.4.0",
    "@modelcontextprotocol/server@2.4.0",
    "zod@4.6.7",
    "esbuild@0.28.2",
)
SCHEMA = "node_modules/@modelcontextprotocol/ext-apps/dist/src/generated/schema.json"
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; media-src 'self' data:; connect-src 'none'; frame-src 'self'"
)
"""What a host must set where a view asks for nothing."""
ALL: Mapping[str, Any] = {
    "serverTools": {},
    "serverResources": {},
    "updateModelContext": {"text": {}},
    "message": {"text": {}},
}
"""What the best host can do."""
APPS = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})]
"""How a client says that it shows Apps."""

_DEFINITIONS = {
    "ui/initialize": "McpUiInitializeRequest",
    "ui/notifications/initialized": "McpUiInitializedNotification",
    "ui/notifications/size-changed": "McpUiSizeChangedNotification",
    "ui/message": "McpUiMessageRequest",
    "ui/update-model-context": "McpUiUpdateModelContextRequest",
}


@cache
def packages() -> Path:
    """The folder with the official packages and the bundled host, made once per machine."""
    npm = shutil.which("npm")
    if npm is None:
        reason = "needs npm, for the official bridge of MCP Apps"
        if os.environ.get("ZIGGIE_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.gettempdir()) / f"ziggie-tests-ext-apps-2.0.4-{os.getuid()}"
    with FileLock(f"{folder}.lock"):
        if not (folder / "zod@4.6.7").exists():
            folder.mkdir(exist_ok=True)
            install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
            subprocess.run([*install, *PACKAGES], check=True, capture_output=True)
            (folder / "zod@4.6.7").touch()
        source = folder / "host.js"
        if not (folder / "bundle.js").exists() or source.read_bytes() != _HOST.read_bytes():
            shutil.copy(_HOST, source)
            bundle = ["--bundle", "--format=iife", f"--outfile={folder / 'bundle.js'}"]
            esbuild = str(folder / "node_modules" / ".bin" / "esbuild")
            subprocess.run([esbuild, str(source), *bundle], check=True, capture_output=True)
    return folder


_HOST = HERE / "host.js"


class AppHost:
    """A page that shows our view, and what came of it.

    Args:
        page: In a browser.
        client: Of the server.
        strip: Give the view neither structuredContent nor _meta, as Claude Desktop does.
        refuse: Names of tools whose calls the host refuses.
        hurry: Answer generate_image with the id of its job.
        lose: How many answers of generate_image never reach the view.
    """

    def __init__(
        self,
        page: Page,
        client: Client,
        *,
        strip: bool = False,
        refuse: tuple[str, ...] = (),
        hurry: bool = False,
        lose: int = 0,
    ) -> None:
        self.page, self._client = page, client
        self._strip, self._refuse, self._hurry, self._lose = strip, refuse, hurry, lose
        self.faults: list[str] = []
        """Errors of the page and violations of the sandbox's policy."""
        self.calls: list[dict[str, Any]] = []
        """The tools that the view called."""
        self.reads: list[str] = []
        """The resources that it read."""

    async def mount(self, capabilities: Mapping[str, Any] = ALL, **context: Any) -> Frame:
        """Show the view as the server gives it; its frame."""
        content = (await self._client.read_resource(RESULT_APP)).contents[0]
        assert isinstance(content, TextResourceContents)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        await self.page.route("**/*", self._serve)
        page: Any = self.page  # its functions are half typed
        await page.expose_function("callTool", self._call)
        await page.expose_function("readResource", self._read)
        await self.page.goto("http://host.test/")
        what = {"html": content.text, "capabilities": dict(capabilities), "context": context}
        await self.page.evaluate("mount", what)
        return self.page.frames[-1]

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool as the model does, and show the view what was asked and answered."""
        await self.send("sendToolInput", {"arguments": arguments})
        result = await self._client.call_tool(tool, arguments)
        await self.send("sendToolResult", self._written(result))
        return result

    async def send(self, method: str, params: Any) -> Any:
        """Have the bridge send something to the view."""
        return await self.page.evaluate(
            "([method, params]) => bridge[method](params)", [method, params]
        )

    async def seen(self, method: str) -> list[dict[str, Any]]:
        """The parameters of the view's messages of one method."""
        messages = await self.page.evaluate("seen")
        return [message["params"] for message in messages if message.get("method") == method]

    async def wrong_messages(self) -> list[str]:
        """What the view sent that the extension's schema does not know."""
        schema = json.loads((packages() / SCHEMA).read_text(encoding="utf-8"))
        problems: list[str] = []
        for message in await self.page.evaluate("seen"):
            assert message.pop("jsonrpc") == "2.0"
            message.pop("id", None)
            method = message.get("method", "")
            if method in _DEFINITIONS:
                one = {"$defs": schema["$defs"], "$ref": f"#/$defs/{_DEFINITIONS[method]}"}
                problems += [error.message for error in _errors(one, message)]
            elif method not in ("", "tools/call", "resources/read"):
                problems.append(method)
        return problems

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    async def _serve(self, route: Route) -> None:
        match route.request.url:
            case "http://host.test/":
                page = "<!doctype html><title>host</title><script src=/bundle.js></script><body>"
                await route.fulfill(content_type="text/html", body=page)
            case "http://host.test/bundle.js":
                await route.fulfill(path=packages() / "bundle.js")
            case "http://sandbox.test/":
                headers = {"Content-Security-Policy": POLICY, "Content-Type": "text/html"}
                await route.fulfill(path=HERE / "sandbox.html", headers=headers)
            case url:
                self.faults.append(f"foreign request: {url}")
                await route.abort()

    async def _call(self, params: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(params)
        if params["name"] in self._refuse:
            raise ValueError("The user did not allow it")
        arguments = params.get("arguments", {})
        if self._hurry and params["name"] == "generate_image":
            arguments = arguments | {"wait_seconds": 0}
        result = await self._client.call_tool(params["name"], arguments)
        if self._lose and params["name"] == "generate_image":
            self._lose -= 1
            raise TimeoutError("Request timed out")
        return self._written(result)

    async def _read(self, params: dict[str, Any]) -> dict[str, Any]:
        self.reads.append(params["uri"])
        result = await self._client.read_resource(params["uri"])
        return result.model_dump(by_alias=True, exclude_none=True, mode="json")

    def _written(self, result: CallToolResult) -> dict[str, Any]:
        data = result.model_dump(by_alias=True, exclude_none=True, mode="json")
        if self._strip:
            data.pop("structuredContent", None)
            data.pop("_meta", None)
        return data


def _errors(schema: Mapping[str, Any], message: object) -> list[Any]:
    checker: Any = Draft202012Validator  # its stubs, where there are any, are half typed
    return list(checker(schema).iter_errors(message))


@asynccontextmanager
async def app_host(
    browser: Browser,
    client: Client,
    *,
    width: int = 800,
    **host: Any,
) -> AsyncGenerator[AppHost]:
    """A host in a page of its own, so many pixels wide; `host` as AppHost takes it."""
    packages()
    async with await browser.new_page(viewport={"width": width, "height": 900}) as page:
        yield AppHost(page, client, **host)
