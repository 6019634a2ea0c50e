"""Decide what another machine would do: for who thinks of buying one."""

from __future__ import annotations

from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory import hardware_probe
from ziggie_image_mcp.inventory.catalogue import catalogue_survey
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Plan

MODELS = "those of the catalogue, in half precision and already in memory"
"""Which models such a plan chooses from."""


def plan_on(machine: Hardware, request: ImageRequest, config: Config) -> Plan:
    """Plan a request for a machine as it would report itself, among the models of the catalogue.

    Nothing is looked at, asked or paid; what this machine's own runs took says nothing there.
    """
    return planner.plan(
        RoutingContext(
            request=request,
            survey=catalogue_survey(machine),
            hardware=machine,
            tier=hardware_probe.tier(machine),
            gpu_memory=hardware_probe.gpu_memory(machine),
            config=config,
        )
    )
