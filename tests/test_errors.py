"""The tree of errors: every class that a caller can meet has a code of its own."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import ziggie_image_mcp
from ziggie_image_mcp.errors import ImageError, ProviderError, duration, known_class


def all_classes() -> list[type[ImageError]]:
    """Every error of the package, wherever it stands."""
    for module in pkgutil.walk_packages(ziggie_image_mcp.__path__, "ziggie_image_mcp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(parent: type[ImageError]) -> Iterator[type[ImageError]]:
        yield parent
        for child in parent.__subclasses__():
            yield from below(child)

    return [c for c in below(ImageError) if c.__module__.startswith("ziggie_image_mcp.")]


def test_every_error_of_the_package_has_a_code_of_its_own_and_is_found_by_it() -> None:
    classes = all_classes()

    assert len(classes) > 25
    assert [c.__qualname__ for c in classes if "code" not in vars(c)] == []
    assert len({c.code for c in classes}) == len(classes)
    assert [known_class(c.code) for c in classes] == classes


def test_a_second_class_with_a_code_that_is_taken_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Second: the code CONFIG_INVALID is ConfigError's"):

        class Second(ImageError):  # pyright: ignore[reportUnusedClass]
            code = "CONFIG_INVALID"


def test_a_class_without_a_code_is_known_by_its_parents() -> None:
    class OneVendorOnly(ProviderError):
        pass

    assert OneVendorOnly.code == "PROVIDER_FAILED"
    assert known_class("PROVIDER_FAILED") is ProviderError


def test_a_code_that_no_class_has_is_not_known() -> None:
    assert known_class("NO_SUCH_CODE") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4249, "0.425 s"),
        (59, "59 s"),
        (119, "119 s"),
        (150, "2.5 min"),
        (2400, "40 min"),
        (7100, "118 min"),
        (9000, "2.5 h"),
        (86_400, "24 h"),
        (864_000, "10 days"),
        (3e9, "34722 days"),
    ],
)
def test_a_span_of_time_is_written_as_people_read_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text
