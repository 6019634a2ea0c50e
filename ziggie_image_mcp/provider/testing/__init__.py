"""What tests of providers need: fakes, a vendor on a loopback port, and the conformance suite."""

from ziggie_image_mcp.provider.testing.conformance import ProviderConformance
from ziggie_image_mcp.provider.testing.fake_vendor import FakeVendor, Reply, Seen
from ziggie_image_mcp.provider.testing.fakes import (
    OPTIONS,
    FakePaidProvider,
    FakeProvider,
    StubProvider,
    model,
    picture,
)
from ziggie_image_mcp.provider.testing.rig import (
    OPTION_VALUES,
    ORIGIN,
    PROMPT,
    Rig,
    fields_of,
    request_for,
)

__all__ = [
    "OPTIONS",
    "OPTION_VALUES",
    "ORIGIN",
    "PROMPT",
    "FakePaidProvider",
    "FakeProvider",
    "FakeVendor",
    "ProviderConformance",
    "Reply",
    "Rig",
    "Seen",
    "StubProvider",
    "fields_of",
    "model",
    "picture",
    "request_for",
]
