"""Run a real ComfyUI with small models of random weights, on CPU.

    python tools/comfyui/serve.py --source DIR_OF_A_COMFYUI_CHECKOUT --home /tmp/w/cfy [--port 8188]

Everything is made once: an environment, a copy of the checkout, stubs and models. See README.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = [
    "torch==2.13.0",
    "numpy",
    "einops",
    "transformers>=4.50.3,<5.20",
    "tokenizers",
    "sentencepiece",
    "safetensors",
    "aiohttp>=3.11.8",
    "yarl",
    "pyyaml",
    "Pillow",
    "scipy",
    "tqdm",
    "psutil",
    "alembic",
    "SQLAlchemy",
    "filelock",
    "requests",
    "simpleeval",
    "blake3",
    "pydantic",
    "pydantic-settings",
    "torchsde",
    "av",
]
WITHOUT_DEPENDENCIES = [  # They would bring torchvision.
    "comfy-kitchen==0.2.31",
    "comfy-aimdo==0.4.13",
    "spandrel",
    "kornia",
    "kornia_rs",
    "comfyui-workflow-templates==0.11.44",
    "comfyui-embedded-docs==0.5.10",
]
NOT_COPIED = {".git", "models", "output", "input", "temp", "user"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, required=True, help="a checkout of ComfyUI; it is copied"
    )
    parser.add_argument(
        "--home", type=Path, required=True, help="a folder for everything that is made"
    )
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--prepare", action="store_true", help="make everything, start nothing")
    parser.add_argument("--background", action="store_true", help="return once the server answers")
    arguments = parser.parse_args()

    home = arguments.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    python = environment(home)
    tree = work_tree(arguments.source.resolve(), home)
    subprocess.run([python, HERE / "models.py", tree], check=True)  # It skips what is there.
    page = home / "fe" / "index.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text("<title>ComfyUI</title>", encoding="utf-8")
    if arguments.prepare:
        return
    if answers(arguments.port):
        sys.exit(f"Something answers at port {arguments.port} already; end it to start this one")
    command = [
        str(python),
        "main.py",
        "--cpu",
        "--listen",
        "127.0.0.1",
        "--port",
        str(arguments.port),
    ]
    command += ["--front-end-root", str(page.parent)]
    if arguments.background:
        start(command, tree, arguments.port)
    else:
        os.chdir(tree)
        os.execv(command[0], command)


def environment(home: Path) -> Path:
    """Make the virtual environment unless it is there, and put the stubs into it."""
    folder = home / "venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "complete"
    if not (done.exists() or _imports(python)):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *PACKAGES], check=True)
        subprocess.run([*pip, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
    done.touch()
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    shutil.copyfile(HERE / "stubs.py", Path(site.strip()) / "sitecustomize.py")
    return python


def _imports(python: Path) -> bool:
    """Whether an environment that somebody else made has what is needed."""
    test = [python, "-c", "import torch, transformers, spandrel, comfy_kitchen, torchsde, aiohttp"]
    return python.exists() and subprocess.run(test, capture_output=True).returncode == 0


def work_tree(source: Path, home: Path) -> Path:
    """Copy the checkout unless it lies in our folder, and put our nodes into it."""
    tree = source if source.parent == home else home / source.name
    if not (tree / "main.py").exists():

        def skip(folder: str, names: list[str]) -> set[str]:
            if Path(folder) == source / "custom_nodes":  # Packs need what is not installed here.
                return {name for name in names if not name.endswith(".py")}
            return NOT_COPIED & set(names) if Path(folder) == source else set()

        shutil.copytree(source, tree, ignore=skip, dirs_exist_ok=True)
    pack = tree / "custom_nodes" / "ziggie_stand_ins"
    pack.mkdir(parents=True, exist_ok=True)
    for file in [*(HERE / "nodes").glob("*.py"), HERE / "shrink.py"]:
        shutil.copyfile(file, pack / file.name)
    return tree


def start(command: list[str], tree: Path, port: int) -> None:
    """Start the server in the background; its log and process id lie beside the tree."""
    log = tree.parent / f"{tree.name}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=tree,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    (tree.parent / f"{tree.name}.pid").write_text(str(server.pid), encoding="ascii")
    for _ in range(180):
        if answers(port):
            print(f"ComfyUI runs at http://127.0.0.1:{port}, process {server.pid}")
            return
        if server.poll() is not None:
            sys.exit(f"ComfyUI ended at once; see {log}")
        time.sleep(1)
    sys.exit(f"ComfyUI does not answer; see {log}")


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/system_stats", timeout=5).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
