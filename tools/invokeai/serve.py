"""Run a real InvokeAI with small models of random weights, on CPU.

    python tools/invokeai/serve.py --home /tmp/w/invoke [--port 19090] [--background]

Everything is made once: an environment, models, a root with its settings.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = ["torch==2.13.0", "torchvision==0.28.0", "invokeai==6.14.2"]
SETTINGS = """schema_version: 4.0.3
host: 127.0.0.1
port: {port}
device: cpu
precision: float32
log_level: info
"""
START_SECONDS, INSTALL_SECONDS = 300, 120


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True, help="a folder for all that is made")
    parser.add_argument("--port", type=int, default=19090)
    parser.add_argument("--prepare", action="store_true", help="make everything, start nothing")
    parser.add_argument("--background", action="store_true", help="return once it is ready")
    arguments = parser.parse_args()

    home, port = arguments.home.resolve(), arguments.port
    python = environment(home)
    subprocess.run([python, HERE / "models.py", home / "models"], check=True)
    root = home / "root"
    root.mkdir(exist_ok=True)
    (root / "invokeai.yaml").write_text(SETTINGS.format(port=port), encoding="utf-8")
    if arguments.prepare:
        return
    if version(port):
        sys.exit(f"Something answers at port {port} already; end it to start this one")
    server = start(python, root)
    for _ in range(START_SECONDS):
        if version(port) or server.poll() is not None:
            break
        time.sleep(1)
    if not version(port):
        sys.exit(f"InvokeAI does not answer; see {home / 'invokeai.log'}")
    install(port, home / "models")
    print(f"InvokeAI {version(port)} runs at http://127.0.0.1:{port}, process {server.pid}")
    if not arguments.background:
        server.wait()


def environment(home: Path) -> Path:
    """Make the virtual environment unless it is there, and put the stubs into it."""
    folder = home / "venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    shutil.copyfile(HERE / "stubs.py", Path(site.strip()) / "sitecustomize.py")
    return python


def start(python: Path, root: Path) -> subprocess.Popen[bytes]:
    """Start the server; its log and process id lie beside its root."""
    with (root.parent / "invokeai.log").open("wb") as log:
        server = subprocess.Popen(
            [python.parent / "invokeai-web", "--root", root],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    (root.parent / "invokeai.pid").write_text(str(server.pid), encoding="ascii")
    return server


def install(port: int, models: Path) -> None:
    """Have it list the models where they lie, those that it does not know."""
    known = {Path(m["path"]).name for m in ask(port, "v2/models/")["models"]}
    for model in sorted(models.iterdir()):
        if model.name not in known:
            query = urllib.parse.urlencode({"source": str(model), "inplace": "true"})
            ask(port, f"v2/models/install?{query}", b"{}")
    jobs: list[Any] = []
    for _ in range(INSTALL_SECONDS):
        jobs = ask(port, "v2/models/install")
        if all(job["status"] in ("completed", "error", "cancelled") for job in jobs):
            break
        time.sleep(1)
    failed = [f"{job['source']}: {job.get('error')}" for job in jobs if job["status"] == "error"]
    if failed:
        sys.exit("\n".join(failed))


def ask(port: int, path: str, body: bytes | None = None) -> Any:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/{path}", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def version(port: int) -> str:
    try:
        return str(ask(port, "v1/app/version")["version"])
    except (OSError, ValueError, KeyError):
        return ""


if __name__ == "__main__":
    main()
