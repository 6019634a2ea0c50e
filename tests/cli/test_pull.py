"""`models pull` in the real process, with the real client of the Hub, against a Hub on loopback."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import model_folders
from tests.support.fake_hub import COMMIT, FakeHub

pytestmark = [
    pytest.mark.usefixtures("warm"),
    pytest.mark.skipif(
        importlib.util.find_spec("huggingface_hub") is None,
        reason='needs pip install "ziggie-image-mcp[hub]"',
    ),
]

REPO = "somebody/tiny-sd"
WEIGHTS = "unet/model.safetensors"
LARGE = 40_000_000
"""Bytes: more than the client's pieces of 10 MB."""

ON_A_TERMINAL = """
import os, pty, sys
answer, command = sys.argv[1], sys.argv[2:]
child, master = pty.fork()
if not child:
    os.execv(command[0], command)
seen = b""
while True:
    try:
        piece = os.read(master, 4096)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if b"[y/N]" in seen and answer:
        os.write(master, answer.encode() + b"\\n")
        answer = ""
sys.stdout.write(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""Run a command on a terminal, and answer its question."""


@pytest.fixture
def hub() -> Generator[FakeHub]:
    with FakeHub().serving() as one:
        yield one


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def environment(hub: FakeHub, cache: Path, **more: str) -> dict[str, str]:
    """That of a person who has never used the Hub."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    own = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache / "home")}
    return plain | own | more


def started_anew(env: Mapping[str, str]) -> dict[str, str]:
    """Without the fork of a warm process: a limit, or a kill, is the process's own."""
    return {k: v for k, v in env.items() if k not in ("ZIGGIE_TEST_FORKED", "PYTHONPATH")}


def command(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "ziggie_image_mcp", "--config", str(config), *arguments]


def run(
    config: Path, env: Mapping[str, str], *arguments: str, file_limit: int = 0
) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.run(
        command(config, *arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=90,
        check=False,
        env=started_anew(env) if file_limit else env,
        preexec_fn=limit if file_limit else None,
    )


def tiny(tmp_path: Path) -> dict[str, bytes]:
    """A pipeline in two precisions and two formats, as many repositories have them."""
    parts = {"unet": 500, "text_encoder": 501, "vae": 502}
    folder = model_folders.pipeline(tmp_path / "made", parts=parts)
    files = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
    for part in parts:
        files[f"{part}/config.json"] = f'{{"part": "{part}"}}'.encode()
        files[f"{part}/pytorch_model.bin"] = b"0" * 900
    files["tokenizer/vocab.json"] = b'{"a": 0}'
    files["scheduler/scheduler_config.json"] = b"{}"
    return files | {"README.md": b"# tiny", "tiny.ckpt": b"0" * 5000}


def pulled(cache: Path, repo: str = REPO) -> dict[str, bytes]:
    snapshot = cache / f"models--{repo.replace('/', '--')}" / "snapshots" / COMMIT
    return {
        file.relative_to(snapshot).as_posix(): file.read_bytes()
        for file in snapshot.rglob("*")
        if file.is_file()
    }


def listed(config: Path, env: Mapping[str, str]) -> list[dict[str, Any]]:
    done = run(config, env, "models", "--provider", "diffusers", "--json")
    return list(json.loads(done.stdout)["models"])


def test_only_what_is_loaded_is_pulled_checked_and_listed_at_once(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    files = tiny(tmp_path)
    files["unet/model.fp16.safetensors"] = files[WEIGHTS]
    files[WEIGHTS] = files[WEIGHTS] * 2
    hub.add(REPO, files, license="openrail")
    env = environment(hub, cache)

    done = run(config, env, "models", "pull", REPO, "--yes", "--json")

    assert done.returncode == 0, done.stderr
    endings = (".json", ".txt", ".safetensors")
    kept = {name for name in files if name.endswith(endings)} - {WEIGHTS}
    assert pulled(cache) == {name: files[name] for name in kept}
    assert set(hub.sent) == kept
    answer = json.loads(done.stdout)
    assert answer["commit"] == COMMIT
    assert answer["variant"] == "fp16"
    assert answer["bytes"] == sum(len(files[name]) for name in kept)
    assert Path(answer["folder"]) == cache / "models--somebody--tiny-sd" / "snapshots" / COMMIT
    assert answer["usable"] is True
    assert "licence:  openrail; read it at https://huggingface.co/somebody/tiny-sd" in done.stderr
    assert done.stderr.index("licence:") < done.stderr.index("files:")
    assert [row["id"] for row in listed(config, env)] == [REPO]


def test_nothing_is_asked_for_twice(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    hub.add(REPO, tiny(tmp_path))
    env = environment(hub, cache)
    run(config, env, "models", "pull", REPO, "--yes")
    before = dict(hub.sent)

    again = run(config, env, "models", "pull", f"{REPO}@{COMMIT}", "--json")

    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["downloaded_bytes"] == 0
    assert hub.sent == before


def test_after_a_kill_only_the_rest_is_asked_for(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    files = tiny(tmp_path)
    files[WEIGHTS] = model_folders.write(tmp_path / "w", {"w": [LARGE // 2]}).read_bytes()
    repo = hub.add(REPO, files, stall_after={WEIGHTS: LARGE * 3 // 4})
    env = environment(hub, cache)

    first = subprocess.Popen(
        command(config, "models", "pull", REPO, "--yes"),
        env=started_anew(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert hub.stalled.wait(60)
    (part,) = wait_for(cache, LARGE // 2)
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    kept = part.stat().st_size
    (half,) = listed(config, env)
    repo.stall_after.clear()
    second = run(config, env, "models", "pull", REPO, "--yes")

    assert (half["id"], half["usable"]) == (REPO, False)
    assert f"ziggie-image-mcp models pull {REPO} goes on" in half["how_to_install"]
    assert second.returncode == 0, second.stderr
    assert kept >= LARGE // 2
    (*_, last) = [r for r in hub.asked("GET", "/cdn/") if r.path.endswith(WEIGHTS)]
    assert last.range == f"bytes={kept}-"
    assert pulled(cache)[WEIGHTS] == files[WEIGHTS]
    assert [row["id"] for row in listed(config, env)] == [REPO]


def wait_for(cache: Path, size: int) -> list[Path]:
    """The files that are being downloaded, once one has this size."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        parts = [p for p in cache.rglob("*.incomplete") if p.stat().st_size >= size]
        if parts:
            return parts
        time.sleep(0.02)
    raise AssertionError(f"no file of {size} bytes")


def test_a_file_with_other_bytes_than_told_is_removed(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    files = tiny(tmp_path)
    hub.add(REPO, files, corrupt={WEIGHTS})
    env = environment(hub, cache)

    done = run(config, env, "models", "pull", REPO, "--yes")

    assert done.returncode == 1
    assert (
        "[WRONG_CHECKSUM] unet/model.safetensors arrived with other content than the Hub"
        in done.stderr
    )
    assert hashlib.sha256(files[WEIGHTS]).hexdigest()[:12] in done.stderr
    assert list(cache.rglob("*.incomplete")) == []
    assert pulled(cache) == {}
    assert listed(config, env) == []


@pytest.mark.parametrize(
    ("status", "token", "told"),
    [
        (401, "", "then set HF_TOKEN"),
        (403, "hf_secret", "The account of your token may not download this model"),
    ],
)
def test_a_gated_model_says_where_its_terms_are(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path, status: int, token: str, told: str
) -> None:
    hub.add(REPO, tiny(tmp_path), gated="auto", refuse=status, license="other")
    env = environment(hub, cache, **({"HF_TOKEN": token} if token else {}))

    done = run(config, env, "models", "pull", REPO)

    assert done.returncode == 1
    assert "[MODEL_ACCESS_DENIED]" in done.stderr
    assert told in done.stderr
    assert "accept its terms at https://huggingface.co/somebody/tiny-sd" in done.stderr
    assert done.stderr.index("gate:") < done.stderr.index("[MODEL_ACCESS_DENIED]")
    assert "secret" not in done.stderr
    asked = hub.asked("GET", "/api/models/") + hub.asked("GET", "/resolve/")
    assert {r.authorization for r in asked} == {f"Bearer {token}" if token else ""}


def test_a_disk_that_runs_full_is_told_and_what_is_here_is_kept(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    files = tiny(tmp_path)
    files[WEIGHTS] = model_folders.write(tmp_path / "w", {"w": [LARGE // 2]}).read_bytes()
    hub.add(REPO, files)
    env = environment(hub, cache)

    full = run(config, env, "models", "pull", REPO, "--yes", file_limit=LARGE // 2)
    (half,) = listed(config, env)
    roomy = run(config, env, "models", "pull", REPO, "--yes")

    assert full.returncode == 1
    assert "[DISK_FULL] No room for unet/model.safetensors" in full.stderr
    assert "0.02 of 0.04 GB are written and kept" in full.stderr
    assert "Traceback" not in full.stderr
    assert (half["id"], half["usable"]) == (REPO, False)
    assert f"ziggie-image-mcp models pull {REPO} goes on" in half["how_to_install"]
    assert roomy.returncode == 0, roomy.stderr
    (*_, last) = [r for r in hub.asked("GET", "/cdn/") if r.path.endswith(WEIGHTS)]
    assert last.range == f"bytes={LARGE // 2}-"


def test_a_disk_without_room_is_told_before_anything_large_comes(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    hub.add(REPO, tiny(tmp_path)).pretend_sizes[WEIGHTS] = 10**18

    done = run(config, environment(hub, cache), "models", "pull", REPO)

    assert done.returncode == 1
    assert "[DISK_FULL] somebody/tiny-sd needs 1e+09 GB more, and " in done.stderr
    assert " GB are free in " in done.stderr
    assert set(hub.sent) == {"model_index.json"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nobody/nothing", "[REPOSITORY_NOT_FOUND] There is no model nobody/nothing on http://"),
        (f"{REPO}@v9", "[REPOSITORY_NOT_FOUND] somebody/tiny-sd has no such revision"),
        ("a--b/c", "[REPOSITORY_NOT_FOUND] 'a--b/c' is no repository: give owner/name"),
        ("sd-15", "[INVALID_REQUEST] name='sd-15' cannot be used: give owner/repo, or one of"),
        ("somebody/two", "[NOT_A_PIPELINE] somebody/two holds no model_index.json"),
        ("somebody/two", "One of them: ziggie-image-mcp models pull somebody/two/a.safetensors"),
        ("somebody/two/c.safetensors", "[NOT_A_PIPELINE] somebody/two has no file c.safetensors"),
        ("somebody/two/old.ckpt", "[NOT_A_PIPELINE] old.ckpt is no .safetensors or .gguf file"),
        ("somebody/pickles", "[NOT_A_PIPELINE] somebody/pickles has no whole safetensors weights"),
    ],
)
def test_what_cannot_be_pulled_is_refused_before_anything_large_comes(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path, name: str, told: str
) -> None:
    files = tiny(tmp_path)
    hub.add(REPO, files)
    two = {"a.safetensors": b"0" * 50, "b.safetensors": b"0" * 50, "old.ckpt": b"0" * 50}
    hub.add("somebody/two", two)
    pickles = {k: v for k, v in files.items() if not k.endswith(".safetensors")}
    hub.add("somebody/pickles", pickles)

    done = run(config, environment(hub, cache), "models", "pull", name)

    assert done.returncode == 1
    assert told in done.stderr
    assert set(hub.sent) <= {"model_index.json"}


LORA = {"lora_unet_a_attn2_to_k.lora_down.weight": [4, 768]}


def additions(config: Path, env: Mapping[str, str]) -> list[tuple[str, str, str]]:
    done = run(config, env, "models", "--provider", "diffusers", "--json")
    rows = json.loads(done.stdout)["additions"]
    return [(row["kind"], row["id"], row["family"]) for row in rows]


@pytest.mark.parametrize("name", ["somebody/fox", "somebody/fox/fox.safetensors"])
def test_a_lora_is_pulled_and_listed_as_one(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path, name: str
) -> None:
    lora = model_folders.write(tmp_path / "fox", LORA).read_bytes()
    hub.add("somebody/fox", {"fox.safetensors": lora, "README.md": b"# fox", "fox.ckpt": b"0"})
    env = environment(hub, cache)

    done = run(config, env, "models", "pull", name, "--yes", "--json")

    assert done.returncode == 0, done.stderr
    assert set(hub.sent) == {"fox.safetensors"}
    answer = json.loads(done.stdout)
    assert (answer["model"], answer["role"]) == ("somebody/fox/fox.safetensors", "lora")
    assert answer["usable"] is True
    assert additions(config, env) == [("lora", "somebody/fox/fox.safetensors", "sd1")]


def test_a_controlnet_is_pulled_with_its_settings_and_one_precision(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    weights = model_folders.write(tmp_path / "w", {"w": [50]}).read_bytes()
    settings = {"_class_name": "ControlNetModel", "cross_attention_dim": 2048}
    stem = "diffusion_pytorch_model"
    files = {f"{stem}{v}.safetensors": weights for v in ("", ".fp16")}
    files |= {"config.json": json.dumps(settings).encode(), f"{stem}.bin": b"0" * 900}
    hub.add("somebody/canny", files)
    env = environment(hub, cache)

    done = run(config, env, "models", "pull", "somebody/canny", "--yes")

    assert done.returncode == 0, done.stderr
    assert set(pulled(cache, "somebody/canny")) == {"config.json", f"{stem}.fp16.safetensors"}
    assert "listed as the control somebody/canny for sdxl models" in done.stdout
    assert additions(config, env) == [("control", "somebody/canny", "sdxl")]


def test_settings_alone_let_a_single_file_of_the_family_run(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    file = {f"model.diffusion_model.{k}": v for k, v in model_folders.sd1_tensors().items()}
    file |= {"cond_stage_model.w": [9], "first_stage_model.w": [9]}
    model_folders.write(tmp_path / "dir" / "sd.safetensors", file)
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["providers"]["diffusers"] = {"modelDirs": [str(tmp_path / "dir")]}
    config.write_text(json.dumps(settings), encoding="utf-8")
    files = tiny(tmp_path) | {"unet/config.json": b'{"cross_attention_dim": 768}'}
    hub.add(REPO, files)
    env = environment(hub, cache)

    before = {row["id"]: row["installed"] for row in listed(config, env)}
    done = run(config, env, "models", "pull", REPO, "--settings-only", "--yes")
    after = {row["id"]: row["installed"] for row in listed(config, env)}

    assert done.returncode == 0, done.stderr
    assert not [name for name in hub.sent if name.endswith(".safetensors")]
    assert (before, after) == ({"sd.safetensors": False}, {"sd.safetensors": True, REPO: False})


@pytest.mark.soak
def test_a_gguf_file_and_a_pipeline_without_its_transformer_make_a_model(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    tensors = model_folders.flux_tensors()
    file = model_folders.write_gguf(tmp_path / "flux1-dev-Q8_0.gguf", tensors, "flux")
    hub.add("city/flux-gguf", {file.name: file.read_bytes(), "flux1-dev-Q2_K.gguf": b"0"})
    folder = model_folders.flux(tmp_path / "made")
    made = [path for path in folder.rglob("*") if path.is_file()]
    hub.add(REPO, {path.relative_to(folder).as_posix(): path.read_bytes() for path in made})
    env = environment(hub, cache)

    alone = run(config, env, "models", "pull", f"city/flux-gguf/{file.name}", "--yes")
    rest = run(config, env, "models", "pull", REPO, "--without", "transformer", "--yes")
    row = {row["id"]: row for row in listed(config, env)}[f"city/flux-gguf/{file.name}"]
    wrong = run(config, env, "models", "pull", REPO, "--without", "prior", "--yes")

    assert "FLUX.1-dev --without transformer" in alone.stdout, alone.stderr
    assert rest.returncode == 0, rest.stderr
    assert "Its transformer was left out" in rest.stdout
    assert "transformer/model.safetensors" not in pulled(cache)
    assert {"transformer/config.json", "vae/model.safetensors"} <= set(pulled(cache))
    assert (row["installed"], row["family"]) == (True, "flux1")
    assert "has no component 'prior'" in wrong.stderr


def test_nobody_to_ask_is_no_yes(tmp_path: Path, hub: FakeHub, cache: Path, config: Path) -> None:
    hub.add(REPO, tiny(tmp_path))

    done = run(config, environment(hub, cache), "models", "pull", REPO)

    assert done.returncode == 1
    assert "nobody can be asked here: add --yes to download" in done.stderr
    assert done.stderr.index("licence:") < done.stderr.index("disk:") < done.stderr.index("--yes")
    assert set(hub.sent) == {"model_index.json"}


def test_a_name_of_the_catalogue_stands_for_its_repository(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    hub.add("stabilityai/sdxl-turbo", tiny(tmp_path), license="other")

    done = run(config, environment(hub, cache), "models", "pull", "sdxl-turbo", "--yes")

    assert done.returncode == 0, done.stderr
    assert "no commercial use" in done.stderr
    assert pulled(cache, "stabilityai/sdxl-turbo")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_a_person_is_asked_after_licence_and_size(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path, answer: str, code: int
) -> None:
    files = tiny(tmp_path)
    hub.add(REPO, files)

    done = subprocess.run(
        [sys.executable, "-c", ON_A_TERMINAL, answer, *command(config, "models", "pull", REPO)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=started_anew(environment(hub, cache)) | {"COLUMNS": "200"},
    )

    assert done.returncode == code, done.stdout
    places = [done.stdout.index(word) for word in ("licence:", "files:", "disk:", "[y/N]")]
    assert places == sorted(places)
    assert (set(hub.sent) == {"model_index.json"}) == (answer == "n")
    assert bool(listed(config, environment(hub, cache))) == (answer == "y")


def test_a_missing_client_is_told_with_the_command_that_installs_it(
    tmp_path: Path, hub: FakeHub, cache: Path, config: Path
) -> None:
    (tmp_path / "path" / "huggingface_hub").mkdir(parents=True)
    broken = "raise ImportError('not here')"
    file = tmp_path / "path" / "huggingface_hub" / "__init__.py"
    file.write_text(broken, encoding="utf-8")
    env = started_anew(environment(hub, cache)) | {"PYTHONPATH": str(tmp_path / "path")}

    done = run(config, env, "models", "pull", REPO, "--yes")

    assert done.returncode == 1
    assert "[HUB_CLIENT_MISSING]" in done.stderr
    assert '"ziggie-image-mcp[hub]"' in done.stderr
