"""What names of CivitAI mean."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.support.fake_civitai import VERSION, FakeCivitai
from ziggie_image_mcp.inventory.civitai import Civitai, Reference, reference
from ziggie_image_mcp.inventory.pull_errors import PullFailed


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


class OddCivitai(FakeCivitai):
    """Answers with something changed in what it says of the version."""

    change: dict[str, Any]

    def _version(self) -> dict[str, Any]:
        return super()._version() | self.change


FILE = {"name": "fox.safetensors", "type": "Model", "hashes": {"SHA256": "ab"}, "downloadUrl": ""}


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"model": "Red Fox"},
        {"modelId": "many"},
        {"trainedWords": 7},
        {"files": [FILE | {"hashes": ["ab"]}]},
        {"files": [FILE | {"hashes": "ab"}]},
        {"files": [FILE | {"sizeKB": "large"}]},
        {"files": [FILE | {"sizeKB": 1e999}]},
    ],
)
def test_an_answer_of_another_form_is_a_sentence(change: dict[str, Any]) -> None:
    odd = OddCivitai(data=b"fox")
    odd.change = change

    with odd.serving(), pytest.raises(PullFailed, match="answers otherwise"):
        Civitai(endpoint=odd.url).version(Reference(version_id=VERSION))


def test_the_token_stays_with_the_endpoint_though_another_port_has_the_file() -> None:
    site, storage = OddCivitai(data=b"fox"), FakeCivitai(data=b"fox")
    with site.serving(), storage.serving():
        file = FILE | {"downloadUrl": f"{storage.url}/storage/file"}
        site.change = {"files": [file]}
        civitai = Civitai(endpoint=site.url, token="t0ken")
        arrived = io.BytesIO()

        civitai.read(civitai.version(Reference(version_id=VERSION)), arrived, 0)

    assert arrived.getvalue() == b"fox"
    assert {one.authorization for one in site.asked} == {"Bearer t0ken"}
    assert {one.authorization for one in storage.asked} == {""}
