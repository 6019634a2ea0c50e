"""Write the tables of codes into docs/troubleshooting.md: when each is raised, and what to do.

    python tools/docs/errors_page.py

When an error is raised stands in the docstring of its class; what to do stands here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import ziggie_image_mcp
from ziggie_image_mcp.errors import ImageError

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
BEGIN, END = "<!-- codes -->", "<!-- end of codes -->"

FIXES: Mapping[str, str] = {
    "IMAGE_ERROR": "What the message says.",
    "CONFIG_INVALID": "Correct the key that the message names, in config.json or in the variable; "
    "`ziggie-image-mcp config check` tries it again.",
    "INVALID_REQUEST": "Change the field that it names, as it says.",
    "INVALID_ARGUMENT": "Correct the argument that it names; the nearest that is known stands by.",
    "BATCH_INVALID": "Correct the lines that it names; nothing was made yet.",
    "NO_ROUTE": "Read the reasons, each with its fix: the table below. `ziggie-image-mcp plan` "
    "with the same arguments shows them all and makes nothing.",
    "GENERATION_FAILED": "Read the attempts: each has its own code, of this table.",
    "OVER_BUDGET": "Raise the cap that it names, or take a free route. `ziggie-image-mcp spend` "
    "shows what is used.",
    "PAID_CONSENT_REQUIRED": "Agree to the price by `allow_paid` or `max_cost_usd`, on the "
    "command line `--allow-paid` or `--max-cost`; or set a budget and `allowPaidFallback`.",
    "PAID_DECLINED": "Ask for it again to be asked again, or take a free route.",
    "STORAGE_FAILED": "Make room, or give the user the right to write in the folder it names.",
    "IMAGE_NOT_FOUND": "Look for the id in the newest resources, or in the picture folder: it may "
    "have been deleted.",
    "IMAGE_TOO_LARGE": "Open it by its path, or ask for it smaller, as `image://ID?max=1024`.",
    "JOB_NOT_FOUND": "`ziggie-image-mcp jobs list`: ended jobs are known for `keepJobs` days.",
    "CANCELLED": "Ask again, if that was not meant.",
    "JOB_LOST": "Ask again, and report it with what `ziggie-image-mcp jobs show ID` prints.",
    "PROVIDER_FAILED": "Read the message: it is the provider's own.",
    "PROVIDER_UNAVAILABLE": "Start the engine, or correct `baseUrl`; `ziggie-image-mcp hardware` "
    "shows what answers.",
    "WRONG_SERVICE": "Something else listens there: correct the port in `baseUrl`.",
    "ENGINE_NOT_READY": "Start the engine as the message says, as with `--api`.",
    "PROVIDER_TIMEOUT": "Raise `timeout` of the provider, or ask for fewer steps or pixels.",
    "DEPENDENCY_MISSING": "Install the extra that it names, into the server's own environment.",
    "AUTHENTICATION_FAILED": "`ziggie-image-mcp keys set NAME`, then `keys test`.",
    "RATE_LIMITED": "Wait as long as it says; `concurrency` bounds the calls at once.",
    "REQUEST_REJECTED": "Change what it names, or take another model.",
    "MODEL_MISSING": "Install it: `ziggie-image-mcp models pull`, or where the message says.",
    "MODEL_UNUSABLE": "Take the file that the message names: this one is damaged, or another kind.",
    "OUT_OF_MEMORY": "A smaller size, a smaller model, or other programs closed.",
    "ENGINE_CRASHED": "Read the engine's own log, and start it again.",
    "ENGINE_GONE": "Start the engine again; what cost nothing is then sent again by itself.",
    "INVALID_OUTPUT": "Ask again with another seed; where it stays so, the model's files or its "
    "precision are suspect.",
    "CONTENT_REFUSED": "Other words. It is not taken to another vendor.",
    "PAYMENT_REQUIRED": "Put credit on the account with the vendor.",
    "PROVIDER_BROKEN": "Report it to who wrote the provider; update or uninstall a plugin.",
    "OUTCOME_UNKNOWN": "Look into the vendor's own list; `ziggie-image-mcp spend settle ID "
    "AMOUNT|none` ends it.",
    "EXTRA_MISSING": "Install the extra that it names.",
    "PULL_FAILED": "The same command goes on where it ended; the message says what failed.",
    "REPOSITORY_NOT_FOUND": "Correct the name; for a private one set `HF_TOKEN`.",
    "MODEL_ACCESS_DENIED": "Accept the terms on the model's page, and set `HF_TOKEN` to a token of "
    "that account.",
    "NOT_A_PIPELINE": "Take a repository with safetensors weights, or one of its files by name.",
    "DISK_FULL": "Free as much as it says, or set `HF_HOME` to another disk.",
    "WRONG_CHECKSUM": "Pull it again; where it stays so, the mirror or the disk is suspect.",
    "HUB_CLIENT_MISSING": 'Install `"ziggie-image-mcp[hub]"`.',
    "REMOVAL_REFUSED": "Delete it yourself, where it lies.",
    "MODEL_IN_USE": "Wait for its job, or end the server that has it loaded.",
}

REASONS: Mapping[str, tuple[str, str]] = {
    "DISABLED": ("it is switched off", "`enabled: true` where it says"),
    "NO_KEY": ("there is no key", "`ziggie-image-mcp keys set NAME`"),
    "KEYS_UNREADABLE": ("keys cannot be read", "what the keyring or the file says"),
    "MODE_EXCLUDED": ("`provider`, or a rule of `routes`, allows no such kind", "change that"),
    "NOT_PINNED": ("another provider was named", "name this one, or none"),
    "OTHER_MODEL": ("another model was named", "name this one, or none"),
    "FAMILY_MISMATCH": ("a model of another family was named", "name this one, or none"),
    "PRIVACY": ("`privacy` keeps prompts from it", "say what it promised, or `local: true`"),
    "NOT_INSTALLED": ("the model is not here", "the command that it names"),
    "DEPRECATED": ("the vendor has taken it away", "a newer one"),
    "DEMO_ONLY": ("a demo model is taken only where there is no other", "name it"),
    "FEATURE_UNSUPPORTED": ("it cannot do what is asked", "leave that out, or another model"),
    "COUNT_UNSUPPORTED": ("it makes no so many at a time", "fewer at a time"),
    "SIZE_UNSUPPORTED": ("it does not make this size", "the nearest that it names"),
    "PROMPT_TOO_LONG": ("it would cut the prompt", "a shorter one"),
    "MEMORY_INSUFFICIENT": ("it does not fit the memory", "a smaller one, or what it names"),
    "OUT_OF_MEMORY": ("it ran out of memory here before, at such a size", "a smaller size"),
    "DISK_INSUFFICIENT": ("the disk is full", "free as much as it says"),
    "LICENSE": ("`commercialUse` and its licence forbid each other", "another model"),
    "QUALITY_BELOW_TIER": ("nobody judged it good enough for this quality", "another quality"),
    "CIRCUIT_OPEN": ("it failed again and again, and rests", "wait as long as it says"),
    "RATE_LIMITED": ("it asked us to wait", "wait as long as it says"),
    "QUEUE_FULL": ("too many jobs wait for it", "later, or a higher `queueLimit`"),
    "DEADLINE": ("it would take longer than `deadline`", "fewer steps or pixels"),
    "PRICE_UNKNOWN": ("nobody knows its price", "set `priceUsd` in its row"),
    "PRICE_STALE": ("its price was read too long ago", "set `priceUsd`, or update"),
    "LEDGER_UNUSABLE": ("spending cannot be recorded", "what the ledger's message says"),
    "OVER_MAX_COST": ("it costs more than `max_cost_usd`", "a higher one"),
    "OVER_BUDGET": ("a cap would be passed", "raise the cap that it names"),
    "PAID_FORBIDDEN": ("`allowPaidFallback` is never", "`ask` or `withinBudget`"),
    "CONSENT_REQUIRED": ("nobody has said yes to its price", "`allow_paid`, or a budget"),
    "PLUGIN_BROKEN": ("the plugin cannot be imported, or is none", "update or uninstall it"),
    "CONTRACT_UNSUPPORTED": ("the plugin is for another version", "update it, or us"),
}
"""Why a model or provider was left out, and what brings it back."""


def classes() -> list[type[ImageError]]:
    """Every error of the package, wherever it stands, parents before their children."""
    for module in pkgutil.walk_packages(ziggie_image_mcp.__path__, "ziggie_image_mcp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(parent: type[ImageError]) -> Iterator[type[ImageError]]:
        yield parent
        for child in sorted(parent.__subclasses__(), key=lambda kind: kind.code):
            if child.__module__.startswith("ziggie_image_mcp."):
                yield from below(child)

    return list(below(ImageError))


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + "\n".join([BEGIN, *_lines(), END]) + rest.partition(END)[2]


def _lines() -> Iterator[str]:
    yield from ("", "## Errors", "", "| code | when | what to do |", "|---|---|---|")
    for kind in classes():
        yield f'| <a id="{kind.code}"></a>`{kind.code}` | {_when(kind)} | {_cell(kind)} |'
    yield from ("", "## Why a model was left out", "", "| code | why | what brings it back |")
    yield "|---|---|---|"
    for code, (why, fix) in REASONS.items():
        yield f"| `{code}` | {why} | {fix} |"
    yield ""


def _cell(kind: type[ImageError]) -> str:
    return FIXES[kind.code].replace("|", "\\|")


def _when(kind: type[ImageError]) -> str:
    """The first paragraph of its docstring, without the words that all begin with."""
    text = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    for start in ("Raised when ", "Raised for ", "Raised "):
        text = text.removeprefix(start)
    return (text[:1].upper() + text[1:]).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
