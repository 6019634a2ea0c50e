"""The edges of a picture as lines."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from ziggie_image_mcp.assets.edges import find_edges, is_edge_map


def drawing() -> Image.Image:
    image = Image.new("RGB", (200, 160), "white")
    ImageDraw.Draw(image).ellipse((40, 30, 140, 130), fill="red")
    return image


def test_edges_are_white_lines_of_one_pixel_where_colours_meet() -> None:
    edges = np.asarray(find_edges(drawing()).convert("L")) > 0

    rows, columns = np.nonzero(edges)
    distances = np.hypot(columns - 90, rows - 80)
    assert edges.shape == (160, 200)
    assert abs(np.median(distances) - 50) < 1.5
    assert np.all(np.abs(distances - 50) < 4)
    assert 0.6 * 2 * np.pi * 50 < edges.sum() < 1.6 * 2 * np.pi * 50


def test_a_plain_picture_and_soft_noise_have_none() -> None:
    noise = np.random.default_rng(0).integers(120, 130, (100, 100, 3), np.uint8)

    assert find_edges(Image.new("RGB", (50, 50), "gray")).getbbox() is None
    assert find_edges(Image.fromarray(noise)).getbbox() is None


def test_a_finished_map_stays_as_it_is() -> None:
    edges = find_edges(drawing())

    assert is_edge_map(edges)
    assert not is_edge_map(drawing())
    assert find_edges(edges).tobytes() == edges.tobytes()
