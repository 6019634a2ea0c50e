"""Cut subjects out by a learned mask: ONNX files as rembg uses them, which lie in a folder.

What a network takes and gives is read from its file; how its input is scaled, from its name, as
rembg's sessions do it (github.com/danielgatis/rembg, read 2026-11-30): U2-Net and BiRefNet by the
mean and deviation of ImageNet, IS-Net (DIS) by the mean alone, RMBG by a half.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ziggie_image_mcp.provider import FREE, FreeSize, Memory, Model, SameAsInput, TaskCapability
from ziggie_image_mcp.provider.onnx_runtime import load_onnx_runtime
from ziggie_image_providers.builtin.engine import Stopped
from ziggie_image_providers.builtin.onnx_file import FLOAT32, read_graph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

USUAL_SIDE = 1024
"""Of the picture that a network sees, where its file leaves it open."""

LEAST_SPREAD = 0.5
"""From the least to the most of a mask: with less nothing stands out."""

MOST_PIXELS = 50_000_000

WORKING_BYTES = 1_500_000_000
"""Beside its weights: BiRefNet at 1024 takes about so much. Not measured here."""

LOOK_SECONDS = 0.1
"""How often it is looked whether a run is to stop."""

Three = tuple[float, float, float]

IMAGENET: Three = (0.485, 0.456, 0.406)
DEVIATION: Three = (0.229, 0.224, 0.225)


class NothingStandsOut(Exception):
    """Raised when a network sees no subject in a picture."""


class NetworkUnusable(Exception):
    """Raised when a network cannot be read or run."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is known of the networks whose names have this word."""

    word: str
    title: str
    license: str
    commercial_use: bool | None
    mean: Three = IMAGENET
    deviation: Three = DEVIATION


FAMILIES = (
    Family(
        word="rmbg",
        title="BRIA RMBG",
        license="bria-rmbg (non-commercial)",
        commercial_use=False,
        mean=(0.5, 0.5, 0.5),
        deviation=(1, 1, 1),
    ),
    Family(
        word="isnet",
        title="IS-Net",
        license="Apache-2.0",
        commercial_use=True,
        deviation=(1, 1, 1),
    ),
    Family(word="u2net", title="U2-Net", license="Apache-2.0", commercial_use=True),
    Family(word="silueta", title="U2-Net, small", license="Apache-2.0", commercial_use=True),
    Family(word="birefnet", title="BiRefNet", license="MIT", commercial_use=True),
)
OTHER = Family(word="", title="Cut-out network", license="", commercial_use=None)


@dataclass(frozen=True, kw_only=True)
class Network:
    """One file that cuts out."""

    path: Path
    input: str
    width: int
    height: int
    output: str
    bytes: int

    @property
    def family(self) -> Family:
        """By the file's name."""
        name = self.path.stem.lower().replace("bria", "rmbg").replace("dis-", "isnet-")
        return next((family for family in FAMILIES if family.word in name), OTHER)


def folders(own: Sequence[Path]) -> tuple[Path, ...]:
    """Where networks are looked for: those of the settings, then rembg's own."""
    home = os.environ.get("U2NET_HOME")
    rembg = Path(home) if home else Path(os.environ.get("XDG_DATA_HOME", Path.home())) / ".u2net"
    return (*own, rembg)


def find_networks(places: Sequence[Path]) -> Mapping[str, Network]:
    """The networks that lie in these folders, by the name of their file; the first one counts."""
    found: dict[str, Network] = {}
    for folder in places:
        try:
            files = sorted(folder.glob("*.onnx"))
            stats = [(file, file.stat()) for file in files]
        except OSError:  # it is not there, or not ours to read
            continue
        for file, stat in stats:
            network = _network(file, stat.st_size, stat.st_mtime_ns)
            if network is not None:
                found.setdefault(file.stem, network)
    return found


@lru_cache(maxsize=64)
def _network(path: Path, size: int, changed: int) -> Network | None:
    """The network of a file; None where it is not of the kind: a picture in, a plane out."""
    try:
        graph = read_graph(path)
    except OSError:
        return None
    if graph is None or len(graph.inputs) != 1:
        return None
    seen, mask = graph.inputs[0], graph.outputs[0]
    if seen.kind != FLOAT32 or mask.kind != FLOAT32 or len(seen.shape) != 4:
        return None
    if seen.shape[1] not in (3, None) or (len(mask.shape) == 4 and mask.shape[1] not in (1, None)):
        return None
    return Network(
        path=path,
        input=seen.name,
        width=seen.shape[3] or USUAL_SIDE,
        height=seen.shape[2] or USUAL_SIDE,
        output=mask.name,
        bytes=size,
    )


def describe_network(provider: str, network: Network, *, loaded: bool) -> Model:
    """As a model of the provider."""
    family = network.family
    accepts = FreeSize(
        native_width=network.width,
        native_height=network.height,
        min_side=1,
        max_side=16_384,
        multiple_of=1,
        max_pixels=MOST_PIXELS,
    )
    return Model(
        id=network.path.stem,
        provider=provider,
        where="this_machine",
        tasks={"remove_background": TaskCapability(sizes=SameAsInput(accepts=accepts))},
        prices=FREE,
        title=f"{family.title} ({network.path.name})",
        license=family.license,
        commercial_use=family.commercial_use,
        state="loaded" if loaded else "ready",
        device="cpu",
        memory=Memory(vram_bytes=0, ram_bytes=network.bytes + WORKING_BYTES),
    )


def open_network(network: Network) -> Any:
    """The network in memory.

    Raises:
        NetworkUnusable: The file is damaged, or onnxruntime cannot run it.
    """
    from ziggie_image_mcp.provider.processors import usable_processors
    from ziggie_image_providers.builtin.sessions import session_options

    settings = session_options(usable_processors())
    runtime = load_onnx_runtime()
    try:
        return runtime.InferenceSession(
            str(network.path), settings, providers=["CPUExecutionProvider"]
        )
    except Exception as e:  # onnxruntime's own errors have no other class in common
        raise NetworkUnusable(f"{network.path.name} cannot be read; get it again ({e})") from e


def cut_out(
    session: Any, network: Network, picture: Image.Image, stop: threading.Event
) -> Image.Image:
    """The picture with the network's mask as alpha, beside its own.

    Raises:
        NothingStandsOut: The network sees no subject.
        NetworkUnusable: It cannot be run, or gives no mask.
        Stopped: `stop` was set.
    """
    import numpy as np
    from PIL import Image

    from ziggie_image_mcp.provider.pictures import on_white

    family = network.family
    size = (network.width, network.height)
    small = on_white(picture).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(small, np.float32) / 255
    scaled = (pixels - np.array(family.mean)) / np.array(family.deviation)
    planes = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)
    mask = _as_share(np.squeeze(_run(session, network, planes, stop)), network)
    grey = Image.fromarray(np.rint(mask * 255).astype(np.uint8))
    alpha = np.asarray(grey.resize(picture.size, Image.Resampling.LANCZOS), np.uint16)
    result = np.asarray(picture.convert("RGBA")).copy()
    result[..., 3] = (result[..., 3] * alpha + 127) // 255
    result[result[..., 3] == 0] = 0
    return Image.fromarray(result)


def _as_share(values: NDArray[np.floating], network: Network) -> NDArray[np.float64]:
    """A mask from 0 to 1: some networks give logits, and none uses all of the range."""
    import numpy as np

    plane = np.asarray(values, np.float64)
    if plane.ndim != 2 or not np.isfinite(plane).all():
        raise NetworkUnusable(f"{network.path.name} gives no mask for a picture.")
    if plane.min() < -0.01 or plane.max() > 1.01:
        plane = 1 / (1 + np.exp(-np.clip(plane, -60, 60)))
    spread = float(np.ptp(plane))
    if spread < LEAST_SPREAD:
        raise NothingStandsOut(f"{network.path.stem} sees no subject in this picture.")
    return np.asarray((plane - plane.min()) / spread)


def _run(session: Any, network: Network, planes: Any, stop: threading.Event) -> Any:
    """Compute the mask; a run of seconds is ended where nobody waits for it."""
    options, done = load_onnx_runtime().RunOptions(), threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_SECONDS):
            if stop.is_set():
                options.terminate = True
                return

    watcher = threading.Thread(target=watch, name="builtin cut-out", daemon=True)
    watcher.start()
    try:
        return session.run([network.output], {network.input: planes}, options)[0]
    except Exception as e:  # onnxruntime's own errors have no other class in common
        if stop.is_set():
            raise Stopped from None
        raise NetworkUnusable(f"{network.path.name} cannot be run: {e}") from e
    finally:
        done.set()
        watcher.join()
