"""Where engines are looked for beside this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory import engine_hosts
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.provider import engines

TABLE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t01B01CAC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t00B01CAC\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0
"""
"""Of a machine whose gateway is 172.28.176.1."""


def test_this_machine_is_always_the_first() -> None:
    assert engine_hosts.resolve(["localhost", "127.0.0.1"]) == ("127.0.0.1", "localhost")


def test_a_host_that_nobody_knows_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    assert engine_hosts.resolve(["no-such-host.invalid"]) == ("127.0.0.1",)
    assert "no-such-host.invalid is not there" in caplog.text


def test_the_other_side_of_wsl_is_asked_for_only_where_it_is_named() -> None:
    def fail() -> str:
        raise AssertionError

    assert engine_hosts.resolve(["127.0.0.1"], fail) == ("127.0.0.1",)
    assert engine_hosts.resolve(["wsl"], lambda: "127.0.0.2") == ("127.0.0.1", "127.0.0.2")
    assert engine_hosts.resolve(["wsl"], lambda: "") == ("127.0.0.1",)


def test_the_gateway_is_read_from_the_table_of_routes(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(TABLE)
    (tmp_path / "none").write_text(TABLE.partition("eth0")[0])

    assert engine_hosts.gateway(tmp_path / "route") == "172.28.176.1"
    assert engine_hosts.gateway(tmp_path / "none") == ""
    assert engine_hosts.gateway(tmp_path / "missing") == ""


@pytest.mark.parametrize(
    ("kind", "port"),
    [("a1111", 7860), ("comfyui", 8188), ("invokeai", 9090), ("swarmui", 7801), ("fooocus", 8888)],
)
def test_the_first_place_is_the_usual_one(kind: str, port: int) -> None:
    assert engines.places(kind)[0] == f"http://127.0.0.1:{port}"


def test_each_host_has_all_usual_ports() -> None:
    assert engines.places("a1111", ("127.0.0.1", "box.lan"))[:5] == (
        "http://127.0.0.1:7860",
        "http://127.0.0.1:7861",
        "http://127.0.0.1:1234",
        "http://127.0.0.1:5001",
        "http://box.lan:7860",
    )


def test_an_address_of_ipv6_is_a_host() -> None:
    assert Config.model_validate({"engineHosts": ["::1"]}).engine_hosts == ("::1",)
    assert engines.places("invokeai", ("::1",)) == ("http://[::1]:9090",)


@pytest.mark.parametrize("host", ["http://box", "box:8188", "", "box/comfy", "-box"])
def test_an_address_with_a_port_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match="without port"):
        Config.model_validate({"engineHosts": [host]})


async def test_the_providers_get_the_hosts_that_are_set(tmp_path: Path) -> None:
    off = {name: {"enabled": False} for name in ("builtin", "diffusers", "a1111")}
    registry = Registry(
        Config.model_validate({"engineHosts": ["localhost"], "providers": off}), tmp_path
    )
    await registry.open()
    assert registry.hosts == ("127.0.0.1", "localhost")
    await registry.reconfigure(Config.model_validate({"providers": off}))
    assert len(registry.hosts) == 1
    await registry.aclose()
