"""Build the .mcpb bundle out of a wheel: for hosts that install a server from one file.

    python -m build --wheel
    python -m tools.packages.bundle dist/ziggie_image_mcp-*.whl -o ziggie-image-mcp.mcpb

The host runs `uv` in the unpacked bundle; the packages that the wheel needs are downloaded at the
first start, in the versions that constraints.txt names.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path

from tools.packages.manifests import PACKAGE, ROOT, SUMMARY, bundle
from ziggie_image_mcp import __version__

_DAY = (1980, 1, 1, 0, 0, 0)
"""The same wheel gives the same bundle, whenever it is built."""
SERVER = f'''"""{SUMMARY}"""

from ziggie_image_mcp.__main__ import main

if __name__ == "__main__":
    main()
'''


def project(wheel: str) -> str:
    """The bundle's pyproject.toml: the wheel beside it, with the versions that were tested."""
    pins = [
        line.strip()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    return "\n".join(
        [
            "[project]",
            f'name = "{PACKAGE}-bundle"',
            f'version = "{__version__}"',
            'requires-python = ">=3.11"',
            f'dependencies = ["{PACKAGE}"]',
            "",
            "[tool.uv]",
            "package = false",
            f"constraint-dependencies = {json.dumps(pins, indent=4)}",
            "",
            "[tool.uv.sources]",
            f'{PACKAGE} = {{ path = "{wheel}" }}',
            "",
        ]
    )


def build(wheel: Path, out: Path) -> None:
    """Write the bundle."""
    texts = {
        "manifest.json": json.dumps(bundle(), indent=2) + "\n",
        "pyproject.toml": project(wheel.name),
        "server.py": SERVER,
        "LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8"),
    }
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _DAY), text, zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo(wheel.name, _DAY), wheel.read_bytes())


def main() -> None:
    """Build it, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path(f"{PACKAGE}.mcpb"))
    options = parser.parse_args()
    build(options.wheel, options.out)
    print(options.out)


if __name__ == "__main__":
    main()
