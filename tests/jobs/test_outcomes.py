"""An error is recorded with all that it carries, and is the same again out of its record."""

from __future__ import annotations

from typing import Any

import pytest

from ziggie_image_mcp import errors
from ziggie_image_mcp.errors import ImageError, InvalidRequest, ProviderError, RateLimited
from ziggie_image_mcp.inventory.types import Reason, Rejection
from ziggie_image_mcp.jobs.errors import GenerationFailed
from ziggie_image_mcp.jobs.outcomes import failure, revived
from ziggie_image_mcp.jobs.records import AttemptRecord, Failure, dump, load
from ziggie_image_mcp.routing.errors import NoRoute

ATTEMPT = AttemptRecord(provider="a", model="m", ok=False, milliseconds=5, error_code="X")
REJECTION = Rejection(
    provider="a", model="m", reasons=(Reason(code="SIZE", have="1", need="2", fix="3"),)
)


def again(error: ImageError) -> ImageError:
    return revived(load(Failure, dump(failure(error))))


def facts(error: ImageError) -> dict[str, Any]:
    names = (
        *("code", "fallback", "charged", "retry_after", "scope", "provider"),
        *("attempts", "rejected", "field", "fix"),
    )
    return {name: getattr(error, name, None) for name in names} | {"text": str(error)}


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("a", "slow down", retry_after=7.5, scope="account"),
        ProviderError("a", "no", fallback=False, charged=500, scope="request"),
        ProviderError("a", "charged, and who knows how much", charged=None),
        InvalidRequest("width", 7, "16 or more"),
        GenerationFailed([ATTEMPT], [REJECTION]),
        NoRoute([REJECTION], "try another"),
        *[
            kind("a", "x")
            for kind in vars(errors).values()
            if isinstance(kind, type) and issubclass(kind, ProviderError)
        ],
    ],
    ids=lambda e: e.code,
)
def test_an_error_crosses_a_border_with_all_that_it_carries(error: ImageError) -> None:
    other = again(error)

    assert type(other) is type(error)
    assert facts(other) == facts(error)


def test_the_value_of_an_invalid_field_comes_back_as_it_was_written() -> None:
    other = again(InvalidRequest("width", "wide", "a number"))

    assert isinstance(other, InvalidRequest)
    assert other.value == "'wide'"
    assert "width=\"'wide'\"" not in str(other)


def test_an_error_of_a_plugin_that_this_process_lacks_is_one_of_the_nearest_known_class() -> None:
    foreign = Failure(
        code="ACME_BUSY",
        parents=("RATE_LIMITED", "PROVIDER_FAILED", "IMAGE_ERROR"),
        message="busy",
        provider="acme",
        fallback=False,
        charged=None,
        retry_after=3.0,
        scope="provider",
    )

    error = revived(load(Failure, dump(foreign)))

    assert type(error) is RateLimited
    assert facts(error) == {
        "code": "ACME_BUSY",
        "fallback": False,
        "charged": None,
        "retry_after": 3.0,
        "scope": "provider",
        "provider": "acme",
        "attempts": (),
        "rejected": None,
        "field": None,
        "fix": None,
        "text": "busy",
    }


def test_an_error_of_a_third_partys_class_is_of_that_class_where_it_is_there() -> None:
    class AcmeQuota(ProviderError):
        code = "ACME_QUOTA"
        fallback = False

    error = again(AcmeQuota("acme", "none left", scope="account"))

    assert type(error) is AcmeQuota
    assert (error.fallback, error.scope) == (False, "account")
    assert failure(error).parents == ("PROVIDER_FAILED", "IMAGE_ERROR")


def test_a_failure_that_version_2_recorded_is_as_usual_for_its_class() -> None:
    error = revived(load(Failure, '{"code": "CONTENT_REFUSED", "message": "no", "provider": "a"}'))

    assert isinstance(error, ProviderError)
    assert (error.fallback, error.scope, error.charged) == (False, "request", 0)
