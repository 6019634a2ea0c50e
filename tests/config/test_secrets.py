from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from ziggie_image_mcp.config import secrets
from ziggie_image_mcp.config.secrets import Keyring, NoKeyring, Source, Vault
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.provider import ProviderInfo
from ziggie_image_mcp.provider.testing import FakeProvider

NAME = "OPENAI_API_KEY"
VALUE = "sk-0123456789abcdef"
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no file modes")


class FakeVault:
    priority: float = 5

    def __init__(self, **kept: str) -> None:
        self.kept = dict(kept)

    def get_password(self, service: str, username: str) -> str | None:
        assert service == "ziggie-image-mcp"
        return self.kept.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[username]


def ring(vault: Vault | None = None, seconds: float = 3.0) -> Keyring:
    def opener() -> Vault:
        if vault is None:
            raise NoKeyring("no keyring: this machine has none")
        return vault

    return Keyring(opener, seconds)


def kind(module: str, base: type = FakeVault, **members: Any) -> type:
    """A backend class that says it comes from another module."""
    return type("Backend", (base,), {"__module__": module, **members})


def key_file(folder: Path, mode: int = 0o600, content: str | None = None) -> Path:
    file = folder / "keys.json"
    file.write_text(content or json.dumps({NAME: VALUE}), encoding="utf-8")
    file.chmod(mode)
    return file


# Where a key is looked for


async def test_the_environment_wins_then_the_keyring_then_the_file(tmp_path: Path) -> None:
    file = key_file(tmp_path, content=json.dumps({NAME: "from-file"}))
    with_key = ring(FakeVault(**{NAME: "from-keyring"}))

    found = [
        await secrets.find(NAME, env={NAME: " from-env\n"}, file=file, ring=with_key),
        await secrets.find(NAME, env={NAME: ""}, file=file, ring=with_key),
        await secrets.find(NAME, env={}, file=file, ring=ring(FakeVault())),
        await secrets.find(NAME, env={}, file=file, ring=ring(None)),
        await secrets.find("OTHER_KEY", env={}, file=file, ring=ring(None)),
        await secrets.find(NAME, env={}, file=tmp_path / "none.json", ring=ring(None)),
    ]

    assert found == ["from-env", "from-keyring", "from-file", "from-file", None, None]


async def test_sources_tell_every_place_and_no_value(tmp_path: Path) -> None:
    file = key_file(tmp_path)

    told = await secrets.sources(
        [NAME, "OTHER_KEY"], env={NAME: VALUE}, file=file, ring=ring(FakeVault(**{NAME: VALUE}))
    )

    assert told == (
        Source(name=NAME, places=("environment", "keyring", "file")),
        Source(name="OTHER_KEY"),
    )
    assert VALUE not in repr(told)


async def test_sources_say_why_the_keyring_could_not_be_asked(tmp_path: Path) -> None:
    told = await secrets.sources([NAME], env={}, file=tmp_path / "none.json", ring=ring(None))

    assert told[0].notes == ("no keyring: this machine has none",)


# Keeping and forgetting


async def test_a_key_is_kept_in_the_keyring_where_there_is_one(tmp_path: Path) -> None:
    vault, file = FakeVault(), tmp_path / "keys" / "keys.json"

    kept = await secrets.save(NAME, f"{VALUE}\n", file=file, ring=ring(vault))

    assert kept == Source(name=NAME, places=("keyring",))
    assert vault.kept == {NAME: VALUE}
    assert not file.exists()


@POSIX
async def test_without_a_keyring_it_is_kept_in_a_file_that_is_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "state" / "keys" / "keys.json"
    await secrets.save("OTHER_KEY", "first", file=file, ring=ring(None))

    kept = await secrets.save(NAME, VALUE, file=file, ring=ring(None))

    assert kept.places == ("file",)
    assert kept.notes
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]
    assert await secrets.find(NAME, env={}, file=file, ring=ring(None)) == VALUE
    assert await secrets.find("OTHER_KEY", env={}, file=file, ring=ring(None)) == "first"


async def test_a_key_is_forgotten_everywhere_but_in_the_environment(tmp_path: Path) -> None:
    vault, file = FakeVault(**{NAME: VALUE}), key_file(tmp_path)

    first = await secrets.delete(NAME, file=file, ring=ring(vault))
    second = await secrets.delete(NAME, file=file, ring=ring(vault))

    assert first.places == ("keyring", "file")
    assert second.places == ()
    assert vault.kept == {}
    assert await secrets.find(NAME, env={}, file=file, ring=ring(vault)) is None


@pytest.mark.parametrize("value", ["", "  ", "two words", "sk-secret\nX: 1", "sk-ключ-secret"])
async def test_what_is_no_key_is_not_kept(tmp_path: Path, value: str) -> None:
    vault = FakeVault()

    with pytest.raises(ConfigError) as error:
        await secrets.save(NAME, value, file=tmp_path / "keys.json", ring=ring(vault))

    assert vault.kept == {}
    assert "secret" not in str(error.value)


# The key file


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
async def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = key_file(tmp_path, mode)

    with pytest.raises(ConfigError, match="chmod 600") as error:
        await secrets.find(NAME, env={}, file=file, ring=ring(None))

    assert str(file) in str(error.value)
    assert VALUE not in str(error.value)


@POSIX
async def test_a_file_that_others_can_read_does_not_matter_while_it_is_not_needed(
    tmp_path: Path,
) -> None:
    file = key_file(tmp_path, 0o644)

    assert await secrets.find(NAME, env={NAME: VALUE}, file=file, ring=ring(None)) == VALUE


@pytest.mark.parametrize("content", [f'{{"{NAME}": "{VALUE}"', f'["{VALUE}"]', '{"A": 1}'])
async def test_a_broken_file_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    file = key_file(tmp_path, content=content)

    with pytest.raises(ConfigError) as error:
        await secrets.find(NAME, env={}, file=file, ring=ring(None))

    assert str(file) in str(error.value)
    assert VALUE not in "".join(traceback.format_exception(error.value))
    assert error.value.__cause__ is None


async def test_a_file_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("in the way", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"keys\.json"):
        await secrets.save(NAME, VALUE, file=tmp_path / "keys" / "keys.json", ring=ring(None))


# The keyring


def test_a_recommended_backend_is_used() -> None:
    vault = FakeVault()

    assert secrets.usable(vault) is vault


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (kind("keyring.backends.fail", priority=0), "has none"),
        (kind("keyring.backends.null", priority=-1), "has none"),
        (kind("somebody.keyring", priority=0.5), "no recommended"),
        (kind("keyrings.alt.file", priority=9), "in a file"),
        (kind("keyrings.cryptfile.cryptfile", priority=2.5), "in a file"),
        (kind("somebody", base=kind("keyrings.alt.file_base")), "in a file"),
        (kind("somebody.disk", file_path=property(lambda self: "/x")), "in a file"),
        (kind("broken", priority=property(lambda self: 1 / 0)), "ZeroDivisionError"),
    ],
)
def test_a_backend_that_is_unsafe_or_not_recommended_is_refused(backend: type, said: str) -> None:
    with pytest.raises(NoKeyring, match=said):
        secrets.usable(backend())


def chain(*members: object) -> object:
    return kind("keyring.backends.chainer", priority=10, backends=list(members))()


def test_of_a_chain_the_first_safe_backend_is_used_and_never_the_chain_itself() -> None:
    safe, plain = FakeVault(), kind("keyrings.alt.file", priority=0.5)()

    assert secrets.usable(chain(plain, safe)) is safe


def test_a_chain_of_unsafe_backends_is_refused() -> None:
    with pytest.raises(NoKeyring, match=r"keyrings\.alt\.file keeps keys in a file"):
        secrets.usable(chain(kind("keyrings.alt.file", priority=0.5)()))
    with pytest.raises(NoKeyring, match="has none"):
        secrets.usable(chain())


class HangingVault(FakeVault):
    def __init__(self) -> None:
        super().__init__(**{NAME: VALUE})
        self.go_on = threading.Event()
        self.calls = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.calls += 1
        self.go_on.wait(10)
        return super().get_password(service, username)


async def test_a_keyring_that_hangs_is_not_waited_for_nor_asked_twice(tmp_path: Path) -> None:
    vault = HangingVault()
    slow = ring(vault, seconds=0.05)
    file = key_file(tmp_path, content=json.dumps({NAME: "from-file"}))

    first = await secrets.find(NAME, env={}, file=file, ring=slow)
    started = time.monotonic()
    told = await secrets.sources([NAME], env={}, file=file, ring=slow)
    waited = time.monotonic() - started
    vault.go_on.set()
    while any(t.name == "keyring" for t in threading.enumerate()):
        time.sleep(0.001)
    later = await secrets.find(NAME, env={}, file=file, ring=slow)

    assert first == "from-file"
    assert told[0].places == ("file",)
    assert "not answered" in told[0].notes[0]
    assert waited < 1
    assert vault.calls == 2
    assert later == VALUE


def test_a_keyring_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    code = """
import asyncio, threading
from pathlib import Path
from ziggie_image_mcp.config import secrets
class Hangs:
    def get_password(self, service, username): threading.Event().wait()
print(asyncio.run(secrets.find("A_KEY", env={}, file=Path("/nowhere/keys.json"),
                               ring=secrets.Keyring(Hangs, 0.05))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


class LeakingVault(FakeVault):
    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"could not store {password}")

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError(f"wrong passphrase {VALUE}")


async def test_what_a_backend_says_of_a_failure_is_not_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "keys" / "keys.json"

    kept = await secrets.save(NAME, VALUE, file=file, ring=ring(LeakingVault()))
    told = await secrets.sources([NAME], env={}, file=file, ring=ring(LeakingVault()))

    assert kept.places == ("file",)
    assert kept.notes == ("the keyring failed (RuntimeError)",)
    assert VALUE not in repr((kept, told)) + caplog.text


async def test_several_questions_at_once_take_turns(tmp_path: Path) -> None:
    import asyncio

    vault = FakeVault(A_KEY="a", B_KEY="b")
    shared = ring(vault)
    file = tmp_path / "none.json"

    found = await asyncio.gather(
        *(
            secrets.find(name, env={}, file=file, ring=shared)
            for name in ("A_KEY", "B_KEY", "C_KEY")
        )
    )

    assert found == ["a", "b", None]


async def test_without_the_package_there_is_a_note_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    told = await secrets.sources([NAME], env={}, file=tmp_path / "none.json", ring=Keyring())

    assert "ziggie-image-mcp[keys]" in told[0].notes[0]


async def test_the_real_package_without_a_backend_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = pytest.importorskip("keyring")
    from keyring.backends.fail import Keyring as Fail

    before = keyring.get_keyring()
    keyring.set_keyring(cast(Callable[[], object], Fail)())
    try:
        assert await secrets.find(NAME, env={}, file=key_file(tmp_path), ring=Keyring()) == VALUE
    finally:
        keyring.set_keyring(before)


def test_start_up_does_not_import_the_keyring() -> None:
    code = "import sys, ziggie_image_mcp.config.secrets; print('keyring' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


# Names


class Paid(FakeProvider):
    info = ProviderInfo(summary="", key_names=("OPENAI_API_KEY", "OPENAI_ORGANISATION"))


def test_the_variable_of_a_provider_comes_from_its_class() -> None:
    names = secrets.key_names({"openai": Paid, "comfyui": FakeProvider})

    assert names == {"openai": "OPENAI_API_KEY"}
    assert secrets.variable("openai", names) == "OPENAI_API_KEY"
    assert secrets.variable("TOGETHER_API_KEY", names) == "TOGETHER_API_KEY"


def test_a_name_that_takes_no_key_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean `openai`"):
        secrets.variable("opnai", {"openai": "OPENAI_API_KEY"})


def test_the_default_file_lies_in_a_folder_of_its_own() -> None:
    assert secrets.default_file().parent.name == "keys"
