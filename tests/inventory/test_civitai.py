"""What names of CivitAI mean."""

from __future__ import annotations

import pytest

from ziggie_image_mcp.inventory.civitai import Reference, reference


@pytest.mark.parametrize(
    ("name", "model", "version"),
    [
        ("456", None, 456),
        ("urn:air:sdxl:lora:civitai:123@456", 123, 456),
        ("urn:air:flux1:checkpoint:civitai:123", 123, None),
        ("civitai:123@456", 123, 456),
        ("air:sdxl:lora:civitai:123@456", 123, 456),
        ("https://civitai.com/models/123", 123, None),
        ("https://civitai.com/models/123/red-fox", 123, None),
        ("https://www.civitai.com/models/123/red-fox?modelVersionId=456", 123, 456),
        ("https://civitai.com/api/download/models/456?type=Model", None, 456),
        ("https://civitai.com/api/v1/model-versions/456", None, 456),
    ],
)
def test_an_id_a_url_or_an_air_names_a_version(
    name: str, model: int | None, version: int | None
) -> None:
    assert reference(name) == Reference(model_id=model, version_id=version)


@pytest.mark.parametrize(
    "name",
    [
        "sdxl-base",
        "owner/repo",
        "owner/repo@main",
        "https://huggingface.co/models/123",
        "https://civitai.com.example.org/models/123",
        "urn:air:sdxl:lora:huggingface:owner/repo@1",
        "https://civitai.com/user/123",
        "",
    ],
)
def test_another_name_is_none_of_civitai(name: str) -> None:
    assert reference(name) is None
