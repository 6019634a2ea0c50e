"""Find the keys of paid providers: in the environment, the keyring, or a file that is ours alone.

A key's value is in no message, no repr and no exception that leaves this module.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

import anyio

from ziggie_image_mcp.config.config import APP, data_dir
from ziggie_image_mcp.config.environment import setting
from ziggie_image_mcp.errors import ConfigError, duration, nearest
from ziggie_image_mcp.provider.contract import ProviderType
from ziggie_image_mcp.provider.files import open_regular, read_bounded
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_mcp.provider.systems import put_in_place

SERVICE = APP
"""The name that our keys carry in the keyring."""
ANSWER_SECONDS = 3.0
"""What the keyring may take for one answer; a locked one may ask its user first."""
MAX_BYTES = 2**20
"""Of the file of keys."""

Place = Literal["environment", "keyring", "file"]

_FILES = ("keyrings.alt", "keyrings.cryptfile", "sagecipher")
"""Backends that keep keys in files of their own; some read a password from stdin, which is ours."""

_NONE = ("keyring.backends.fail", "keyring.backends.null")
"""What stands in for a backend on a machine without one."""

T = TypeVar("T")


class Vault(Protocol):
    """The part of a keyring backend that is used here."""

    def get_password(self, service: str, username: str) -> str | None:
        """The value, or None."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a value."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Forget a value."""
        ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a key is kept, without its value."""

    name: str
    places: tuple[Place, ...] = ()
    """The first is the one in force."""
    notes: tuple[str, ...] = ()
    """What could not be asked, one sentence each."""


class NoKeyring(Exception):
    """Raised when there is no keyring to use; the message says why. Never an end, only a note."""


def variable(name: str, key_names: Mapping[str, str]) -> str:
    """The environment variable that a provider's name, or the variable itself, stands for.

    Args:
        name: As the user wrote it: `openai` or `OPENAI_API_KEY`.
        key_names: Variable by provider, as `key_names()` gives them.

    Raises:
        ConfigError: No provider of this name takes a key.
    """
    if name in key_names:
        return key_names[name]
    if re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        return name
    near = nearest(name, list(key_names))
    hint = f" Did you mean `{near}`?" if near else ""
    raise ConfigError(
        f"{name!r} is no provider that takes a key.{hint} Known: {', '.join(key_names)};"
        " or give the variable's name, as OPENAI_API_KEY."
    )


def key_names(types: Mapping[str, ProviderType]) -> dict[str, str]:
    """Variable by provider, for those kinds of provider that have a key: of several the first."""
    return {name: kind.info.key_names[0] for name, kind in types.items() if kind.info.key_names}


def default_file() -> Path:
    """Where keys are kept on a machine without a keyring: a folder of their own."""
    return data_dir() / "keys" / "keys.json"


def open_vault() -> Vault:
    """The system's keyring.

    Raises:
        NoKeyring: There is none, or none that is safe to use from a server.
    """
    try:
        import keyring
    except ImportError as e:
        install = install_command(f"{APP}[keys]")
        raise NoKeyring(f"no keyring: the package is not installed ({install})") from e
    return usable(keyring.get_keyring())


def usable(backend: object) -> Vault:
    """The backend, or the first safe one of a chain.

    Raises:
        NoKeyring: It keeps keys in plain files, might ask on stdin, or is not recommended here.
    """
    chain = getattr(backend, "backends", None) if _is_chain(backend) else None
    members = [backend] if chain is None else list(cast(Iterable[object], chain))
    refused = [(m, _refusal(m)) for m in members if type(m).__module__ not in _NONE]
    for member, why in refused:
        if why is None:
            return cast(Vault, member)
    reasons = [f"{type(member).__module__} {why}" for member, why in refused]
    raise NoKeyring(f"no keyring: {'; '.join(reasons) or 'this machine has none'}")


def _is_chain(backend: object) -> bool:
    return any(c.__module__ == "keyring.backends.chainer" for c in type(backend).__mro__)


def _refusal(backend: object) -> str | None:
    kinds = type(backend).__mro__
    if any(c.__module__.startswith(_FILES) or "file_path" in vars(c) for c in kinds):
        return "keeps keys in a file"
    try:
        priority = float(cast(Any, backend).priority)
    except Exception as e:
        return f"cannot be used here ({type(e).__name__})"
    return None if priority >= 1 else "is no recommended keyring"


class Keyring:
    """Asks the keyring in a thread of its own, and does not wait for one that hangs.

    The thread is a daemon: a keyring that never answers cannot hold up the end of the process.
    """

    def __init__(
        self, opener: Callable[[], Vault] = open_vault, seconds: float = ANSWER_SECONDS
    ) -> None:
        self._opener = opener
        self._seconds = seconds
        self._turn = anyio.Lock()
        self._asked: threading.Thread | None = None

    async def read(self, name: str) -> str | None:
        """A key's value, or None.

        Raises:
            NoKeyring: The keyring cannot be asked.
        """
        return await self._ask(lambda vault: vault.get_password(SERVICE, name))

    async def write(self, name: str, value: str) -> None:
        """Keep a key.

        Raises:
            NoKeyring: The keyring cannot be asked, or did not take it.
        """
        await self._ask(lambda vault: vault.set_password(SERVICE, name, value))

    async def erase(self, name: str) -> bool:
        """Forget a key; True when there was one.

        Raises:
            NoKeyring: The keyring cannot be asked, or did not let go of it.
        """

        def work(vault: Vault) -> bool:
            if vault.get_password(SERVICE, name) is None:
                return False
            vault.delete_password(SERVICE, name)
            return True

        return await self._ask(work)

    async def _ask(self, work: Callable[[Vault], T]) -> T:
        async with self._turn:
            if self._asked is not None and self._asked.is_alive():
                raise NoKeyring("the keyring has not answered yet; is it locked?")
            answer: Future[T] = Future()
            self._asked = threading.Thread(
                target=_run, args=(answer, self._opener, work), name="keyring", daemon=True
            )
            self._asked.start()
            try:
                async with asyncio.timeout(self._seconds):
                    value = await asyncio.wrap_future(answer)
            except TimeoutError:
                raise NoKeyring(
                    f"the keyring did not answer within {duration(self._seconds)}; is it locked?"
                ) from None
            except NoKeyring:
                self._asked = None
                raise
            except Exception as e:
                self._asked = None
                raise NoKeyring(f"the keyring failed ({type(e).__name__})") from None
            self._asked = None
            return value


def _run(answer: Future[T], opener: Callable[[], Vault], work: Callable[[Vault], T]) -> None:
    answer.set_running_or_notify_cancel()
    try:
        answer.set_result(work(opener()))
    except BaseException as e:
        answer.set_exception(e)


KEYRING = Keyring()
"""The system's keyring, as one process sees it."""


async def find(
    name: str,
    *,
    env: Mapping[str, str] = os.environ,
    file: Path | None = None,
    ring: Keyring = KEYRING,
) -> str | None:
    """A key by its environment variable's name: environment, then keyring, then the key file.

    Raises:
        ConfigError: The key file is open to others, or broken.
    """
    if value := setting(env, name):
        return value
    try:
        value = (await ring.read(name) or "").strip()
    except NoKeyring:  # `sources` tells
        value = ""
    if value:
        return value
    return (await anyio.to_thread.run_sync(_read, file or default_file())).get(name)


async def sources(
    names: Iterable[str],
    *,
    env: Mapping[str, str] = os.environ,
    file: Path | None = None,
    ring: Keyring = KEYRING,
) -> tuple[Source, ...]:
    """Where each key is kept, and what could not be asked.

    Raises:
        ConfigError: The key file is open to others, or broken.
    """
    kept = await anyio.to_thread.run_sync(_read, file or default_file())
    told: list[Source] = []
    for name in names:
        places: list[Place] = ["environment"] if setting(env, name) else []
        notes: list[str] = []
        try:
            if await ring.read(name):
                places.append("keyring")
        except NoKeyring as e:
            notes.append(str(e))
        if name in kept:
            places.append("file")
        told.append(Source(name=name, places=tuple(places), notes=tuple(notes)))
    return tuple(told)


async def save(
    name: str, value: str, *, file: Path | None = None, ring: Keyring = KEYRING
) -> Source:
    """Keep a key in the keyring, or in the key file where there is no keyring to use.

    Raises:
        ConfigError: The value is no key, or the key file cannot be written.
    """
    value = value.strip()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(
            f"{name}: this is no key; a key is one line of letters, digits and signs."
        )
    try:
        await ring.write(name, value)
    except NoKeyring as e:
        change = partial(_change, file or default_file(), name, value)
        await anyio.to_thread.run_sync(change)
        return Source(name=name, places=("file",), notes=(str(e),))
    return Source(name=name, places=("keyring",))


async def delete(name: str, *, file: Path | None = None, ring: Keyring = KEYRING) -> Source:
    """Forget a key wherever it is kept; `places` of the answer are those that had it.

    The environment is not ours to change.

    Raises:
        ConfigError: The key file is open to others, broken, or cannot be written.
    """
    places: list[Place] = []
    notes: list[str] = []
    try:
        if await ring.erase(name):
            places.append("keyring")
    except NoKeyring as e:
        notes.append(str(e))
    if await anyio.to_thread.run_sync(_change, file or default_file(), name, None):
        places.append("file")
    return Source(name=name, places=tuple(places), notes=tuple(notes))


def _read(file: Path) -> dict[str, str]:
    try:
        with open_regular(file) as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if os.name == "posix" and mode & 0o077:
                raise ConfigError(
                    f"{file} holds keys, and others on this machine can read it"
                    f" (mode {mode:04o}). Run `chmod 600 {file}`, and think of new keys."
                )
            found: object = json.loads(read_bounded(opened, MAX_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {e.strerror}") from None
    except (ValueError, RecursionError):  # not `from e`: a JSONDecodeError carries the whole text
        raise ConfigError(f"{file}: is no JSON; delete it and set the keys again") from None
    values = cast(dict[str, object], found) if isinstance(found, dict) else {"": None}
    if not all(isinstance(value, str) for value in values.values()):
        raise ConfigError(f"{file}: must hold a JSON object of names and keys")
    return cast(dict[str, str], values)


def _change(file: Path, name: str, value: str | None) -> bool:
    """Set or (None) remove one key; False when there was nothing to remove."""
    values = _read(file)
    if value is None:
        if name not in values:
            return False
        del values[name]
    else:
        values[name] = value
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        put_in_place(file, json.dumps(values, indent=1).encode(), 0o600)
    except OSError as e:
        raise ConfigError(f"{file}: cannot be written: {e.strerror}") from None
    return True
