"""Measure the built-in engine as a new user gets it: a fresh environment without extras.

python -m benchmarks.builtin [RUNS]

Builds the wheel, installs it with its dependencies in an empty environment, and runs the commands
there, each in a process of its own with a data folder of its own. Beside it the same picture goes
through the diffusers provider, where the interpreter that runs this has torch. Seconds are those of
the processor, of the command and all that it started, so that a busy machine changes them little.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.support.wire import Wire
from ziggie_image_providers.builtin.models import FOLDER

ROOT = Path(__file__).parents[1]
PROMPT = "a red star on a black background"
WARM_CALLS = 10

ENGINE = """
import asyncio, sys, time
from pathlib import Path
from ziggie_image_mcp.provider import ProviderContext, ProviderRequest, Run
from ziggie_image_providers.builtin import Builtin
from ziggie_image_providers.builtin.settings import Settings

async def quiet(fraction, message): pass

async def main():
    engine = Builtin("builtin", Settings(), ProviderContext(data_dir=Path(sys.argv[2])))
    model = (await engine.list_models())[0]
    request = ProviderRequest(
        prompt=sys.argv[1], width=256, height=256, seed=0, steps=None, guidance_scale=None
    )
    before = time.process_time()
    await engine.submit(request, model, Run(key="benchmark", progress=quiet))
    print(time.process_time() - before)
    await engine.aclose()

asyncio.run(main())
"""


def megabytes(folder: Path) -> float:
    return sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


def install(folder: Path) -> Path:
    """The interpreter of a fresh environment; what it weighs is printed."""
    quiet: Mapping[str, Any] = {"check": True, "capture_output": True}
    wheels = folder / "wheels"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(wheels)]
    subprocess.run([*build, str(ROOT)], **quiet)
    (wheel,) = wheels.glob("*.whl")
    pip = [sys.executable, "-m", "pip"]
    get = ["download", "-q", "-c", str(ROOT / "constraints.txt"), "-d", str(wheels), str(wheel)]
    subprocess.run([*pip, *get], **quiet)
    home = folder / "venv"
    venv.create(home)
    empty = megabytes(home)
    python = home / "bin" / "python"
    put = ["--python", str(python), "install", "-q", "--no-index", "-f", str(wheels), str(wheel)]
    subprocess.run([*pip, *put], **quiet)
    files = len(list(wheels.iterdir()))
    print(
        f"{files} wheels of {megabytes(wheels):.0f} MB (at most 130); "
        f"{megabytes(home) - empty:.0f} MB on disk, compiled (at most 350)"
    )
    return python


def environment(home: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """A user's, whose home is this folder."""
    home.mkdir()
    file = home / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return {"HOME": str(home), "PATH": os.environ["PATH"], "ZIGGIE_IMAGE_CONFIG": str(file)}


def cpu_seconds(command: Sequence[str], env: Mapping[str, str]) -> float:
    """What a command and all that it started used."""
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, stdout=nothing, stderr=subprocess.PIPE)
    assert process.stderr is not None
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {message.decode()}")
    return usage.ru_utime + usage.ru_stime


def warm_calls(command: Sequence[str], env: Mapping[str, str]) -> list[float]:
    """CPU seconds of pictures over MCP, but the first."""
    taken: list[float] = []
    with Wire(list(command), env=dict(env)) as wire:
        wire.hello()
        for number in range(WARM_CALLS + 1):
            before = server_seconds(wire.process.pid)
            answer = wire.call(number + 1, "generate_image", {"prompt": PROMPT, "seed": number})
            assert not answer["result"].get("isError"), answer
            taken.append(server_seconds(wire.process.pid) - before)
        wire.end()
    return taken[1:]


def server_seconds(pid: int) -> float:
    server = psutil.Process(pid)
    times = [p.cpu_times() for p in (server, *server.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def tell(name: str, taken: Sequence[float], bound: str = "") -> None:
    print(f"{name:52} median {statistics.median(taken):6.2f} s CPU  max {max(taken):6.2f}  {bound}")


def commands(python: Path, folder: Path, runs: int) -> None:
    """The commands of the fresh environment."""
    server = [str(python), "-I", "-m", "ziggie_image_mcp"]
    number = iter(range(1_000_000))

    def repeat(*arguments: str, config: Mapping[str, Any]) -> list[float]:
        def once() -> float:
            env = environment(folder / f"home{next(number)}", config)
            return cpu_seconds([*server, *arguments], env)

        once()  # warm the disk
        return [once() for _ in range(runs)]

    tell("--version", repeat("--version", config={}), "(at most 0.4)")
    tell("--help", repeat("--help", config={}), "(at most 0.4)")
    tell("generate, 256 px", repeat("generate", PROMPT, config={}), "(at most 2.5)")
    engine = [str(python), "-I", "-c", ENGINE, PROMPT, str(folder)]
    shares = [float(subprocess.check_output(engine)) for _ in range(runs)]
    tell("of which the engine, its imports too", shares, "(at most 1)")
    tell("doctor", repeat("doctor", config={}), "(at most 3)")
    warm = warm_calls(server, environment(folder / "warm", {}))
    tell("a warm call over MCP, 256 px", warm, "(at most 0.5)")


def by_diffusers(folder: Path, runs: int) -> None:
    """The same weights through torch, 64 px."""
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed here: nothing to compare with")
        return
    config = {"providers": {"diffusers": {"modelDirs": [str(FOLDER)]}}}
    server = [sys.executable, "-m", "ziggie_image_mcp"]
    ask = ["generate", PROMPT, "--provider", "diffusers"]
    taken = [
        cpu_seconds([*server, *ask], environment(folder / f"torch{number}", config))
        for number in range(runs)
    ]
    tell("generate through diffusers, 64 px", taken)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands(install(folder), folder, runs)
        by_diffusers(folder, runs)


if __name__ == "__main__":
    main()
