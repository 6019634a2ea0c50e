"""Which models are measured, and what is said of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.factory import service
from ziggie_image_mcp.app.measuring import SpeedReport, measure_speed
from ziggie_image_mcp.errors import ImageError, InvalidRequest
from ziggie_image_mcp.provider import Model, Progress, ProviderRequest, SpeedMeasurement
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.routing.errors import NoRoute


class Measurable(FakeProvider):
    async def measure(
        self, request: ProviderRequest, model: Model, pictures: int, progress: Progress
    ) -> Sequence[SpeedMeasurement]:
        await progress(0.5, f"{model.id} {request.width} {pictures}")
        return [SpeedMeasurement(name="as usual", seconds=2.0, first_seconds=3.0)]


async def measured(folder: Path, name: str, told: list[str] | None = None) -> SpeedReport:
    async def progress(share: float, text: str) -> None:
        if told is not None:
            told.append(text)

    models = [model("diffusers", "fox-xl"), model("diffusers", "half", state="missing")]
    providers = (
        Measurable("diffusers", models=models),
        FakeProvider("comfy", models=[model("comfy", "fox-xxl"), model("comfy", "fox-xl")]),
        FakePaidProvider("vendor"),
    )
    made = service(folder, *providers)
    return await measure_speed(made, name, size=None, steps=None, pictures=2, progress=progress)


async def test_a_model_is_measured_by_the_engine_that_can_though_another_has_it_too(
    tmp_path: Path,
) -> None:
    told = list[str]()

    report = await measured(tmp_path, "fox-xl", told)

    assert (report.provider, report.model) == ("diffusers", "fox-xl")
    assert told == ["fox-xl 1024 2"]
    assert [row.seconds for row in report.rows] == [2.0]


@pytest.mark.parametrize(
    ("name", "kind", "lead"),
    [
        ("fox-xll", NoRoute, "No model is called 'fox-xll'. Nearest: fox-xl."),
        ("half", NoRoute, "'half' cannot make a picture now.\n- diffusers/half: NOT_INSTALLED"),
        ("fox-xxl", InvalidRequest, "it runs by comfy, which has one way"),
        ("gpt-image-1", InvalidRequest, "a vendor runs it"),
    ],
)
async def test_a_name_that_cannot_be_measured_says_why_and_nothing_of_other_engines(
    tmp_path: Path, name: str, kind: type[ImageError], lead: str
) -> None:
    with pytest.raises(kind) as error:
        await measured(tmp_path, name)

    assert lead in str(error.value)
    assert "vendor/" not in str(error.value)
    assert "- comfy" not in str(error.value)
