"""What is done otherwise on Windows, as tables: none of it runs there in these tests."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from ziggie_image_mcp.cli.client_config import Launch, add_command
from ziggie_image_mcp.provider.systems import (
    PATIENCE,
    own_group,
    path_of_url,
    replace,
    why_no_file,
)
from ziggie_image_mcp.storage.artifact_store import slug
from ziggie_image_mcp.storage.input_images import why_not_asked
from ziggie_image_providers.diffusers.process import Ended


@pytest.mark.parametrize(
    ("system", "detached", "arguments"),
    [
        ("linux", False, {"start_new_session": True}),
        ("darwin", True, {"start_new_session": True}),
        ("win32", False, {"creationflags": 0x08000200}),  # CREATE_NO_WINDOW, NEW_PROCESS_GROUP
        ("win32", True, {"creationflags": 0x00000208}),  # DETACHED_PROCESS, NEW_PROCESS_GROUP
    ],
)
def test_ctrl_c_in_a_terminal_is_not_for_our_children(
    system: str, detached: bool, arguments: dict[str, object]
) -> None:
    assert own_group(detached=detached, system=system) == arguments


class Held:
    """A file that somebody has open for so many tries."""

    def __init__(self, tries: int) -> None:
        self.tries = tries
        self.waited: list[float] = []

    def rename(self, new: Path, file: Path) -> None:
        self.tries -= 1
        if self.tries >= 0:
            raise PermissionError(13, "WinError 32")


def test_a_file_that_somebody_has_open_for_a_moment_is_replaced_on_windows() -> None:
    held = Held(tries=4)

    replace(Path("a"), Path("b"), system="win32", rename=held.rename, wait=held.waited.append)

    assert held.waited == [0.01, 0.02, 0.04, 0.08]


@pytest.mark.parametrize(("system", "least"), [("win32", PATIENCE), ("linux", 0)])
def test_one_that_stays_open_is_an_error(system: str, least: float) -> None:
    held = Held(tries=1000)

    with pytest.raises(PermissionError):
        replace(Path("a"), Path("b"), system=system, rename=held.rename, wait=held.waited.append)

    assert least <= sum(held.waited) <= least + 0.25


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("C:\\Users\\A B\\Pictures\\a.png", ""),
        ("C:/Users/me/a.png", ""),
        ("d:\\console\\nullable.png", ""),
        ("D:\\com10.png", ""),
        ("C:\\Pictures\\a..png", ""),
        ("\\\\server\\share\\a.png", "another machine"),
        ("//server/share/a.png", "another machine"),
        ("\\\\127.0.0.1\\c$\\a.png", "another machine"),
        ("\\\\?\\UNC\\server\\share\\a.png", "of a device"),
        ("\\\\?\\C:\\a.png", "of a device"),
        ("\\\\.\\pipe\\a", "of a device"),
        ("\\\\.\\PhysicalDrive0", "of a device"),
        ("NUL", "NUL is the name of a device"),
        ("C:\\Pictures\\nul.png", "nul.png is the name of a device"),
        ("C:\\Pictures\\CON.tar.gz", "CON.tar.gz is the name of a device"),
        ("C:\\aux\\a.png", "aux is the name of a device"),
        ("C:\\prn .png", "prn .png is the name of a device"),
        ("C:\\COM1.png", "COM1.png is the name of a device"),
        ("C:\\lpt³", "lpt³ is the name of a device"),
        ("C:\\CONOUT$", "CONOUT$ is the name of a device"),
        ("C:\\a.png:hidden", "a.png:hidden is no name of a file"),
        ("C:\\nul:", "nul: is the name of a device"),
    ],
)
def test_a_path_of_windows_that_leads_out_is_told_by_its_letters(path: str, why: str) -> None:
    said = why_no_file(PureWindowsPath(path))

    assert why in said
    assert bool(why) == bool(said)


ROOTS = [PureWindowsPath("C:\\Users\\me\\Pictures"), PureWindowsPath("\\\\nas\\pictures\\mine")]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("\\\\nas\\pictures\\mine\\a.png", ""),
        ("//NAS/Pictures/mine/b/a.png", ""),
        ("\\\\nas\\pictures\\mine\\nul.png", "a device"),
        ("\\\\nas\\pictures\\mine\\..\\a.png", "another machine"),
        ("\\\\nas\\pictures\\a.png", "another machine"),
        ("\\\\evil\\pictures\\mine\\a.png", "another machine"),
        ("C:\\Users\\me\\Pictures\\con.png", "a device"),
        ("C:\\elsewhere\\a.png", ""),  # which the folders decide, and not the letters
    ],
)
def test_another_machine_is_asked_only_where_the_user_said_so(path: str, why: str) -> None:
    said = why_not_asked(PureWindowsPath(path), ROOTS)

    assert why in said
    assert bool(why) == bool(said)


@pytest.mark.parametrize("path", ["/a/nul.png", "/a:b", "/con", "//server/share/a.png"])
def test_elsewhere_these_are_names_like_any_other(path: str) -> None:
    assert why_no_file(PurePosixPath(path)) == ""


@pytest.mark.parametrize(
    "words",
    [
        ["C:\\Program Files\\Python 3\\python.exe", "-m", "ziggie_image_mcp"],
        ["C:\\new\\t.exe", "--config", "C:\\a b\\c\\"],
        ["\\\\server\\share\\python.exe", 'say "x"'],
    ],
)
def test_a_command_line_keeps_its_backslashes_on_both_systems(words: list[str]) -> None:
    launch = Launch(command=words, env={"ZIGGIE_IMAGE_CONFIG": "C:\\Users\\A B\\c.json"})

    windows, posix = add_command(launch, "win32"), add_command(launch, "linux")

    variable = "ZIGGIE_IMAGE_CONFIG=C:\\Users\\A B\\c.json"
    line = ["claude", "mcp", "add", "ziggie-image", "-e", variable, "--", *words]
    assert shlex.split(posix) == line
    assert windows.rstrip("\n").removesuffix(" (in cmd)") == subprocess.list2cmdline(line)
    assert f'"{variable}"' in windows
    assert "'" not in windows


@pytest.mark.parametrize(
    ("code", "manner"),
    [
        (1, "ended with exit status 1"),
        (-9, "was ended by SIGKILL"),
        (0xC0000005, "crashed with 0xC0000005"),
        (0xC000013A, "crashed with 0xC000013A"),
    ],
)
def test_the_end_of_a_worker_is_said_as_its_system_counts(code: int, manner: str) -> None:
    assert Ended(code, "").manner == manner


@pytest.mark.parametrize(
    ("end", "crashed"),
    [
        (Ended(-11, ""), True),
        (Ended(1, "ImportError"), True),
        (Ended(0xC0000005, ""), True),
        (Ended(-9, ""), False),
        (Ended(0, ""), False),
        (Ended(1, "", unreadable="It is of another version."), False),
    ],
)
def test_a_worker_that_was_ended_did_not_crash(end: Ended, crashed: bool) -> None:
    assert end.is_crash == crashed


@pytest.mark.parametrize("name", ["con", "NUL.", "aux ", "Com1", "lpt³", "COM¹"])
def test_a_picture_is_never_named_as_a_device(name: str) -> None:
    assert slug(name) == f"picture-{slug(name).removeprefix('picture-')}"
    assert slug(name) != name.strip(" .").lower()


@pytest.mark.parametrize("name", ["console", "com10", "nullpunkt", "a. ", "x..."])
def test_other_names_stay_and_end_in_no_dot_or_blank(name: str) -> None:
    assert slug(name) == name.strip(" .").lower()


@pytest.mark.parametrize(
    ("path", "system", "meant"),
    [
        ("/C:/Users/A%20B/a.png", "win32", "C:\\Users\\A B\\a.png"),
        ("///d:/a.png", "win32", "d:\\a.png"),
        ("//server/share/a.png", "win32", "\\\\server\\share\\a.png"),
        ("/a%20b/%C3%BC.png", "linux", "/a b/ü.png"),
        ("/C:/a.png", "linux", "/C:/a.png"),
    ],
)
def test_a_file_url_is_a_path_of_its_system(path: str, system: str, meant: str) -> None:
    assert path_of_url(path, system) == meant
