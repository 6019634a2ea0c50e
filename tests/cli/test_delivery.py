"""Where pictures and notes go, what is read from stdin, and what stops or leaves a job."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import pytest
from PIL import Image

from tests.cli.test_main import run
from tests.support.fake_comfyui import FakeComfyUI
from ziggie_image_mcp.cli.following import remaining
from ziggie_image_mcp.provider.testing import picture

pytestmark = pytest.mark.usefixtures("warm")
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no terminals of this kind")
COMMAND = [sys.executable, "-m", "ziggie_image_mcp"]
QUICK = ("--steps", "1", "--seed", "1")


def kept(config: Path) -> list[Path]:
    return sorted((config.parent / "pictures").rglob("*.json"))


@pytest.mark.parametrize(
    ("name", "more", "format"),
    [
        ("a.png", (), "PNG"),
        ("b [x].JPG", (), "JPEG"),
        ("c.webp", (), "WEBP"),
        ("d.bin", ("--format", "webp"), "WEBP"),
        ("e.png", ("--format", "jpeg"), "JPEG"),
    ],
)
def test_o_writes_the_picture_there_in_the_format_of_its_ending(
    name: str, more: Sequence[str], format: str, config: Path, tmp_path: Path
) -> None:
    file = tmp_path / name

    made = run("generate", "a star", *QUICK, "-o", str(file), *more, config=config)

    assert made.returncode == 0, made.stderr
    assert made.stdout == f"{file}\n"
    assert "route: builtin/tiny: " in made.stderr
    with Image.open(file) as image:
        assert image.format == format


def test_several_get_numbers_and_json_tells_both_places(config: Path, tmp_path: Path) -> None:
    words = ("--count", "2", "--steps", "1", "-o", str(tmp_path / "s.png"), "--json")

    made = json.loads(run("generate", "a star", *words, config=config).stdout)

    files = [image["file"] for image in made["images"]]
    assert files == [str(tmp_path / "s-1.png"), str(tmp_path / "s-2.png")]
    for image in made["images"]:
        assert Path(image["file"]).read_bytes() == Path(image["path"]).read_bytes()


def test_nothing_is_replaced_unless_force_is_said(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.png"
    file.write_text("mine", encoding="utf-8")

    refused = run("generate", "a star", *QUICK, "-o", str(file), config=config)
    before, files = file.read_text(encoding="utf-8"), kept(config)
    forced = run("generate", "a star", *QUICK, "-o", str(file), "--force", config=config)

    assert refused.returncode == 1
    assert "it is there already; --force replaces it" in refused.stderr
    assert (before, files) == ("mine", [])
    assert forced.returncode == 0, forced.stderr
    with Image.open(file) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("none/a.png", "there is no folder"),
        ("a.bmp", "end its name with .png, .webp or .jpg"),
        ("a", "end its name with"),
        ("pictures.png", "it is a folder: name a file in it"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "edit", "process"])
def test_a_place_that_will_not_do_is_refused_before_anything_is_made(
    command: str, file: str, says: str, config: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "in.png")
    (tmp_path / "pictures.png").mkdir()
    words = {
        "generate": ["a star"],
        "edit": [str(tmp_path / "in.png"), "a hat"],
        "process": [str(tmp_path / "in.png"), "--upscale", "2"],
    }[command]

    refused = run(command, *words, "--output", str(tmp_path / file), "--force", config=config)

    assert refused.returncode == 1
    assert says in refused.stderr
    assert refused.stdout == ""
    assert kept(config) == []


def test_process_and_edit_write_there_too(config: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "in.png")
    words = ("--upscale", "2", "-o", str(tmp_path / "big.png"))

    made = run("process", str(tmp_path / "in.png"), *words, config=config)

    assert made.stdout == f"{tmp_path / 'big.png'}\n", made.stderr
    with Image.open(tmp_path / "big.png") as image:
        assert image.size == (128, 128)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        (b"a red star\n", "a red star"),
        (b"\xef\xbb\xbfa red star\r\n", "a red star"),
        ("ein Würfel\nzwei\n\n".encode(), "ein Würfel\nzwei"),
    ],
)
def test_a_dash_reads_the_prompt_from_standard_input(
    text: bytes, prompt: str, config: Path
) -> None:
    words = [*COMMAND, "generate", "-", *QUICK, "--config", str(config)]

    made = subprocess.run(words, input=text, capture_output=True, timeout=120, check=False)

    assert made.returncode == 0, made.stderr
    (file,) = kept(config)
    assert json.loads(file.read_text(encoding="utf-8"))["prompt"] == prompt


@pytest.mark.parametrize(
    ("text", "says"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe\xfa", "cannot be read")]
)
@pytest.mark.parametrize("command", ["generate", "plan"])
def test_a_dash_without_a_prompt_behind_it_is_said(
    command: str, text: bytes, says: str, config: Path
) -> None:
    words = [*COMMAND, command, "-", "--config", str(config)]

    refused = subprocess.run(words, input=text, capture_output=True, timeout=120, check=False)

    assert refused.returncode == 1
    assert f"[INVALID_REQUEST] prompt='-' cannot be used: standard input {says}" in (
        refused.stderr.decode()
    )


def test_a_dry_run_is_a_plan_and_makes_nothing(config: Path, tmp_path: Path) -> None:
    flat = Image.new("RGB", (64, 64), "white")
    flat.paste("red", (16, 16, 48, 48))
    flat.save(tmp_path / "in.png")
    picture = str(tmp_path / "in.png")

    generate = run("generate", "a {red|blue} star", "--dry-run", "--json", config=config)
    plan = run("plan", "a {red|blue} star", "--json", config=config)
    edit = run("edit", picture, "a hat", "--dry-run", "--json", config=config)
    process = run("process", picture, "--upscale", "2", "--dry-run", "--json", config=config)
    cut = run("process", picture, "--remove-background", "--dry-run", config=config)

    assert json.loads(generate.stdout)["prompts"] == json.loads(plan.stdout)["prompts"]
    assert [c["model"] for c in json.loads(edit.stdout)["candidates"]] == ["tiny"]
    assert json.loads(process.stdout)["candidates"][0]["size"] == "128x128"
    assert "keyed without a model (local, free)" in cut.stderr
    assert json.loads(run("jobs", "list", "--json", config=config).stdout) == []


def test_a_detached_job_goes_on_without_its_caller(config: Path) -> None:
    begun = run("generate", "a star", *QUICK, "--detach", config=config)
    job_id = begun.stdout.strip()
    done = run("finish", job_id, config=config)
    shown = json.loads(run("jobs", "show", job_id, config=config).stdout)

    assert begun.returncode == 0, begun.stderr
    assert "`jobs show ID` tells how far it is" in begun.stderr
    assert done.returncode == 0, done.stderr
    assert shown["status"] == "done"
    assert Path(shown["images"][0]["path"]).exists()


def test_a_detached_job_is_left_to_a_worker_where_workers_make_all(config: Path) -> None:
    settings = json.loads(config.read_text(encoding="utf-8")) | {"workers": True}
    config.write_text(json.dumps(settings), encoding="utf-8")

    begun = run("generate", "a star", "--detach", "--json", config=config)
    note = run("generate", "a star", "--detach", config=config).stderr
    (job_id,) = json.loads(begun.stdout)["job_ids"]
    shown = json.loads(run("jobs", "show", job_id, config=config).stdout)
    both = run("generate", "a star", "--detach", "-o", "a.png", config=config)

    assert "`ziggie-image-mcp worker` starts one where none runs" in note
    assert shown["status"] == "queued"
    assert "nobody is there to write it" in both.stderr


def test_a_detached_request_that_nobody_can_make_is_refused(config: Path) -> None:
    refused = run("generate", "a star", "--model", "flux-9", "--detach", config=config)

    assert refused.returncode == 1
    assert "flux-9" in refused.stderr
    assert refused.stdout == ""


def stopped_at_a_step(number: int, *words: str) -> tuple[int, bytes, bytes]:
    """The exit code, stdout, and the terminal of a command that gets a signal at work."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "140"},
    )
    os.close(theirs)
    seen, sent = b"", False
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # nobody has the other end any more
            break
        if not part:
            break
        seen += part
        if not sent and b"step" in seen:
            process.send_signal(number)
            sent = True
    os.close(ours)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output, seen


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_job_and_says_what_became_of_it(number: int, config: Path) -> None:
    words = ("generate", "a star", "--steps", "100", "--count", "4", "--config", str(config))

    code, output, seen = stopped_at_a_step(number, *words)

    (job,) = json.loads(run("jobs", "list", "--json", config=config).stdout)
    sentence = f"Stopped: job {job['job_id']} is cancelled; it cost nothing."
    assert (code, output) == (128 + number, b"")
    assert sentence.encode() in seen
    assert b" left" in seen or b" expected" in seen
    assert b"Traceback" not in seen
    assert job["status"] == "cancelled"


@pytest.mark.parametrize(
    ("expected", "elapsed", "says"),
    [
        (None, 5, "time not known"),
        (40, 12, "about 28 s left"),
        (2400, 0, "about 40 min left"),
        (4, 6, "longer than the 4 s expected"),
    ],
)
def test_the_time_that_is_left_is_said_honestly(
    expected: float | None, elapsed: float, says: str
) -> None:
    assert remaining(expected, elapsed) == says


@POSIX
def test_open_hands_the_picture_to_the_viewer_or_says_that_there_is_none(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("generate", "a [star]", *QUICK, "--json", config=config)
    image = json.loads(made.stdout)["images"][0]
    viewer = tmp_path / "bin" / ("open" if sys.platform == "darwin" else "xdg-open")
    viewer.parent.mkdir()
    monkeypatch.setenv("PATH", str(viewer.parent))
    none = run("open", image["id"], config=config)
    viewer.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/shown\n', encoding="utf-8")
    viewer.chmod(0o755)

    by_id = run("open", image["id"], config=config)
    shown = (tmp_path / "shown").read_text(encoding="utf-8")
    by_path = run("open", image["path"], "--json", config=config)
    unknown = run("open", "20200101-0000000000000000", config=config)
    job = json.loads(run("jobs", "list", "--json", config=config).stdout)[0]["job_id"]
    links = [
        run("open", name, config=config).stdout
        for name in (job, f"image://{image['id']}?max=100", f"IMAGE://{image['id']}")
    ]
    nothing = run("open", "", config=config)

    assert (none.returncode, none.stdout) == (1, f"{image['path']}\n")
    assert f"there is no {viewer.name} here" in none.stderr
    assert (by_id.returncode, by_id.stdout, by_id.stderr) == (0, f"{image['path']}\n", "")
    assert shown == f"{image['path']}\n"
    assert json.loads(by_path.stdout)["opened"] is True
    assert "[IMAGE_NOT_FOUND]" in unknown.stderr
    assert links == [f"{image['path']}\n"] * 3
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "name a picture: its id, or a file" in nothing.stderr


async def test_a_picture_keeps_its_number_when_the_one_before_it_fails(tmp_path: Path) -> None:
    async with FakeComfyUI(endings=["failed"], image=picture(512, 512)) as engine:
        settings = {
            "output": {"directory": str(tmp_path / "pictures")},
            "provider": "comfyui",
            "providers": {"comfyui": {"baseUrl": engine.url}},
        }
        file = tmp_path / "config.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        more = ("--model", "v1-5-pruned.safetensors", "--width", "512", "--height", "512")
        words = ("generate", "a {red|blue} gem", "-o", str(tmp_path / "v.png"), *more)

        made = await anyio.to_thread.run_sync(lambda: run(*words, config=file))

    assert made.returncode == 1, made.stderr
    assert made.stdout == f"{tmp_path / 'v-2.png'}\n", made.stderr
    assert not (tmp_path / "v-1.png").exists()
    assert "picture 1 of 2 (a red gem): " in made.stderr


def test_a_job_without_a_picture_is_told_by_jobs_show(config: Path) -> None:
    settings = json.loads(config.read_text(encoding="utf-8")) | {"workers": True}
    config.write_text(json.dumps(settings), encoding="utf-8")
    job = run("generate", "a star", "--detach", config=config).stdout.strip()

    refused = run("open", job, config=config)

    assert refused.returncode == 1
    assert f"this job is queued and has no picture; `jobs show {job}`" in refused.stderr


def test_a_file_of_another_format_than_its_ending_is_noted_and_keeps_its_rights(
    config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    file.write_text("mine", encoding="utf-8")
    file.chmod(0o640)
    words = ("-o", str(file), "--force")

    other = run("generate", "a star", *QUICK, *words, "--format", "webp", config=config)
    same = run("generate", "a star", *QUICK, *words, config=config)

    assert "note: a.png is a webp in spite of its ending" in other.stderr
    assert "in spite of" not in same.stderr
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
