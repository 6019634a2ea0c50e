"""Networks that lie in a folder cut out: listed by what their files say, run on onnxruntime."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.e2e.test_edit import data, in_memory, said
from tests.e2e.test_transparent import busy, opened
from tests.support.onnx_nets import cut_out_net
from ziggie_image_providers.builtin.cut_out import (
    NetworkUnusable,
    cut_out,
    find_networks,
    folders,
    open_network,
)
from ziggie_image_providers.builtin.engine import Stopped
from ziggie_image_providers.builtin.onnx_file import read_graph


@pytest.fixture(autouse=True)
def no_networks_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "rembg"))


def red_on_green(side: int = 96) -> Image.Image:
    """Two grounds, so that nothing can be keyed."""
    image = Image.new("RGB", (side, side), (20, 200, 40))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, side // 2, side), fill=(120, 160, 200))
    pen.ellipse((side // 4, side // 4, side * 3 // 4, side * 3 // 4), fill=(220, 35, 35))
    return image


def net(folder: Path, name: str = "u2net.onnx", **facts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(cut_out_net(**facts))
    return folder / name


@pytest.mark.parametrize("sigmoid", [True, False], ids=["share", "logits"])
@pytest.mark.parametrize("side", [32, None], ids=["fixed", "open"])
async def test_a_network_of_a_folder_cuts_out(
    tmp_path: Path, side: int | None, sigmoid: bool
) -> None:
    net(tmp_path / "nets", side=side, sigmoid=sigmoid)
    (tmp_path / "in").mkdir()
    red_on_green().save(tmp_path / "in" / "red.png")
    builtin = {"modelDirs": [str(tmp_path / "nets")]}
    async with in_memory(tmp_path, providers={"builtin": builtin}) as session:
        call = {"image": str(tmp_path / "in" / "red.png"), "remove_background": True}
        answer = data(await session.call_tool("process_image", call))

    alpha = np.asarray(opened(answer))[..., 3]
    assert (answer["provider"], answer["model"]) == ("builtin", "u2net")
    assert alpha.shape == (96, 96)
    assert alpha[48, 48] > 250
    assert alpha[4, 4] < 5
    assert alpha[90, 90] < 5


async def test_it_takes_over_where_a_picture_cannot_be_keyed(tmp_path: Path) -> None:
    """The demo model is told to draw what it cannot draw alone; its ground is no flat one."""
    net(tmp_path / "rembg", "isnet-general-use.onnx")
    async with in_memory(tmp_path) as session:
        call = {"prompt": "a red apple", "transparent": True, "dry_run": True, "model": "tiny"}
        planned = said(await session.call_tool("generate_image", call))
        listed = said(await session.call_tool("list_models", {}))

    assert "what cannot be keyed is cut out by builtin isnet-general-use" in planned
    assert "isnet-general-use" in listed


def test_the_shapes_are_read_from_the_file_and_other_files_are_left_alone(tmp_path: Path) -> None:
    net(tmp_path, "u2net.onnx", side=320)
    net(tmp_path, "birefnet-general.onnx", side=None)
    net(tmp_path, "depth.onnx", channels=4, weights=(1, 1, 1, 1))
    (tmp_path / "broken.onnx").write_bytes(cut_out_net()[:-40])
    (tmp_path / "text.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "empty.onnx").write_bytes(b"")

    networks = find_networks([tmp_path / "nowhere", tmp_path])

    sizes = {name: (one.width, one.height) for name, one in networks.items()}
    assert sizes == {"u2net": (320, 320), "birefnet-general": (1024, 1024)}
    graph = read_graph(tmp_path / "u2net.onnx")
    assert graph is not None
    assert [t.shape for t in (*graph.inputs, *graph.outputs)] == [
        (1, 3, 320, 320),
        (1, 1, 320, 320),
    ]


@pytest.mark.parametrize(
    ("name", "commercial"),
    [
        ("u2netp", True),
        ("silueta", True),
        ("isnet-general-use", True),
        ("birefnet-lite", True),
        ("bria-rmbg-2.0", False),
        ("rmbg-1.4", False),
        ("mine", None),
    ],
)
def test_a_licence_is_told_by_the_name_and_none_is_made_up(
    tmp_path: Path, name: str, commercial: bool | None
) -> None:
    net(tmp_path, f"{name}.onnx")

    assert find_networks([tmp_path])[name].family.commercial_use is commercial


def test_the_settings_folders_come_before_rembgs(tmp_path: Path) -> None:
    mine = net(tmp_path / "mine", side=16)
    net(tmp_path / "rembg", side=32)
    net(tmp_path / "rembg", "silueta.onnx")

    networks = find_networks(folders([tmp_path / "mine"]))

    assert networks["u2net"].path == mine
    assert set(networks) == {"u2net", "silueta"}


async def test_where_it_sees_no_subject_it_says_so(tmp_path: Path) -> None:
    net(tmp_path / "rembg", weights=(0.0, 0.0, 0.0))
    (tmp_path / "in").mkdir()
    busy().save(tmp_path / "in" / "busy.png")
    async with in_memory(tmp_path) as session:
        call = {"image": str(tmp_path / "in" / "busy.png"), "remove_background": True}
        answer = await session.call_tool("process_image", call)

    assert answer.is_error
    assert "u2net sees no subject in this picture" in said(answer)


def test_a_run_that_nobody_waits_for_is_stopped(tmp_path: Path) -> None:
    net(tmp_path)
    network = find_networks([tmp_path])["u2net"]
    stop = threading.Event()

    class Endless:
        """Runs until it is told to terminate."""

        def run(self, outputs: Any, inputs: Any, options: Any) -> Any:
            stop.set()
            for _ in range(1200):
                if options.terminate:
                    raise RuntimeError("terminated")
                threading.Event().wait(0.05)
            return [np.zeros((1, 1, 32, 32), np.float32)]

    with pytest.raises(Stopped):
        cut_out(Endless(), network, red_on_green(), stop)


def test_a_network_that_was_damaged_since_is_named(tmp_path: Path) -> None:
    path = net(tmp_path)
    network = find_networks([tmp_path])["u2net"]
    path.write_bytes(b"no network")

    with pytest.raises(NetworkUnusable, match=r"u2net\.onnx cannot be read; get it again"):
        open_network(network)


async def test_transparent_without_a_flat_ground_is_cut_out_by_it(tmp_path: Path) -> None:
    """From the prompt to the file, with the real engine: the stand-in draws what is not keyed."""
    from tests.e2e.test_transparent import client_of, engine, generate
    from ziggie_image_mcp.provider import ProviderContext
    from ziggie_image_providers.builtin import Builtin
    from ziggie_image_providers.builtin.settings import Settings

    net(tmp_path / "rembg")
    builtin = Builtin("builtin", Settings(), ProviderContext(data_dir=tmp_path))
    async with client_of(tmp_path, engine(lambda: red_on_green(128)), builtin) as session:
        answer = data(await generate(session))

    alpha = np.asarray(opened(answer))[..., 3]
    assert alpha[64, 64] > 250
    assert alpha[4, 4] < 5
    assert any(note.startswith("cut out by builtin u2net: ") for note in answer["notes"])
