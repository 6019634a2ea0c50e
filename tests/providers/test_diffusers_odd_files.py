"""Files and folders of strangers: one that is odd takes nothing from the others."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_folders import pipeline
from ziggie_image_providers.diffusers.additions import find_additions
from ziggie_image_providers.diffusers.scan import find, walk


def raw_file(path: Path, header: object) -> Path:
    """A safetensors file with any header, and four bytes of numbers."""
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    return path


def tensor(*shape: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 4]}


KEY = "image_proj.proj.weight"
UNET = {
    "input_blocks.0.0.weight": tensor(1, 4, 1, 1),
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": tensor(1),
}


@pytest.mark.parametrize(
    "header",
    [
        "[" * 10_000,
        [],
        {"__metadata__": [1, 2], "unet.attn2.to_k.lora_A.weight": tensor(1)},
        {KEY: tensor(), "ip_adapter.1.to_k_ip.weight": tensor()},
        UNET,
        {"double_blocks.0.img_attn.norm.key_norm.scale": tensor(1), "img_in.weight": tensor()},
        {"noise_refiner.0.attention.k_norm.weight": tensor(1), "cap_embedder.1.weight": tensor()},
    ],
)
def test_an_odd_header_harms_no_other_model(tmp_path: Path, header: object) -> None:
    pipeline(tmp_path / "good")
    raw_file(tmp_path / "odd.safetensors", header)

    models = find([tmp_path], None)
    find_additions([tmp_path], None)

    assert models["good"].trouble is None


@pytest.mark.parametrize(
    "config",
    [
        '{"_class_name": ["ControlNetModel"]}',
        '{"_class_name": "ControlNetModel", "cross_attention_dim": [768], "num_mode": "x"}',
        '{"architectures": 7}',
        '{"architectures": ["CLIPVisionModelWithProjection"], "projection_dim": {}}',
        "[" * 100_000,
    ],
)
def test_an_odd_configuration_harms_no_other_model(tmp_path: Path, config: str) -> None:
    pipeline(tmp_path / "good")
    odd = tmp_path / "net-canny"
    odd.mkdir()
    (odd / "config.json").write_text(config, encoding="utf-8")
    raw_file(odd / "diffusion_pytorch_model.safetensors", {KEY: tensor(1, 1)})
    header = {KEY: tensor(1, 9), "ip_adapter.1.to_k_ip.weight": tensor(1, 768)}
    raw_file(tmp_path / "ip.safetensors", header)

    models = find([tmp_path], None)
    find_additions([tmp_path], None)

    assert models["good"].trouble is None


def test_a_folder_that_is_closed_to_us_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(tmp_path / "good")
    closed = tmp_path / "lost+found"
    closed.mkdir()
    stat = Path.stat

    def refuse(path: Path, *, follow_symlinks: bool = True) -> Any:
        if closed in (path, path.parent):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refuse)

    assert set(find([tmp_path], None)) == {"good"}
    assert find_additions([tmp_path], None) == ()


def test_links_in_a_circle_are_walked_once(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    pipeline(deep / "good")
    for number in range(9):
        (tmp_path / f"loop{number}").symlink_to(tmp_path, target_is_directory=True)
        (deep / f"loop{number}").symlink_to(tmp_path, target_is_directory=True)

    assert [path.name for path in walk(tmp_path)] == ["good"]
