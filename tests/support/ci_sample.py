"""Which tests `.ci/run` leaves to `.ci/run full`: of modules that take long, all but a few."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from zlib import crc32

VARIABLE = "ZIGGIE_TEST_SAMPLE"
"""`.ci/run` sets it."""

ONE_IN = {
    **dict.fromkeys(
        (
            "test_batch",
            "test_builtin",
            "test_cluster",
            "test_comfy_router",
            "test_config_file",
            "test_console",
            "test_delivery",
            "test_diffusers",
            "test_diffusers_editing",
            "test_jobs",
            "test_kills",
            "test_ledger",
            "test_main",
            "test_money",
            "test_paid",
            "test_process",
            "test_pull",
            "test_pull_files",
            "test_stdio",
            "test_tiny_model",
            "test_ziggie_clients",
        ),
        16,
    ),
    **dict.fromkeys(
        (
            "test_broken_state",
            "test_client_command",
            "test_comfyui_conformance",
            "test_config_edits",
            "test_crash_windows",
            "test_diffusers_conformance",
            "test_environment",
            "test_fallback",
            "test_file_recipes",
            "test_fooocus_conformance",
            "test_gemini",
            "test_generate",
            "test_imports",
            "test_invokeai_conformance",
            "test_json_page",
            "test_local_engines",
            "test_models",
            "test_openrouter",
            "test_plan_agrees",
            "test_plugins",
            "test_remove",
            "test_result_app",
            "test_setup",
            "test_strange_arguments",
            "test_tools",
            "test_without_posix",
        ),
        8,
    ),
    **dict.fromkeys(
        (
            "test_a1111_conformance",
            "test_comfy_cloud_conformance",
            "test_conformance",
            "test_decisions",
            "test_diffusers_acceleration",
            "test_export",
            "test_gallery",
            "test_keying",
            "test_nothing_is_dropped",
            "test_openai_answers",
            "test_openai_local",
            "test_outages",
            "test_paid_kills",
            "test_pictures",
            "test_pixel_grid",
            "test_requests",
            "test_route_rules",
            "test_runware",
            "test_serve",
            "test_service",
            "test_speed",
            "test_styles",
            "test_swarmui_conformance",
            "test_take_over",
            "test_vendor_faults",
            "test_xai",
        ),
        4,
    ),
    **dict.fromkeys(
        (
            "test_assets",
            "test_bfl",
            "test_blobs",
            "test_builtin_privacy",
            "test_builtin_upscaler",
            "test_callers",
            "test_detection",
            "test_diffusers_worker",
            "test_edit",
            "test_fal",
            "test_finish",
            "test_fooocus",
            "test_leaving",
            "test_limits",
            "test_locked_database",
            "test_mask_edges",
            "test_planner",
            "test_prompts",
            "test_region",
            "test_replicate",
            "test_seamless",
            "test_spellings",
            "test_usage",
        ),
        2,
    ),
}
"""By module, of how many tests one is run: where all take 18 s or more, so many that about 12 s are
left. They take nine tenths of the time of all."""


def left_to_full(nodeids: Iterable[str]) -> set[str]:
    """Which of these tests a sample leaves out; the same of the same tests, every time.

    A function is left out whole only where there are not tests enough for each; by chance, so that
    of one that many modules have, as a check of conformance, some run it.
    """
    modules: dict[str, list[str]] = defaultdict(list)
    for nodeid in nodeids:
        modules[nodeid.partition("::")[0]].append(nodeid)
    left = set[str]()
    for module, tests in modules.items():
        most = math.ceil(len(tests) / ONE_IN.get(PurePosixPath(module).stem, 1))
        left.update(_by_chance(tests)[most:])
    return left


def _by_chance(nodeids: list[str]) -> list[str]:
    """Shuffle tests, of each function one before any other's second."""
    functions: dict[str, list[str]] = defaultdict(list)
    for nodeid in sorted(nodeids, key=_number):
        functions[nodeid.partition("[")[0]].append(nodeid)
    turns = {one: turn for tests in functions.values() for turn, one in enumerate(tests)}
    return sorted(nodeids, key=lambda one: (turns[one], _number(one)))


def _number(nodeid: str) -> int:
    return crc32(nodeid.encode())
