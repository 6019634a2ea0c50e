"""Write small models of random weights that ComfyUI takes for real."""

import argparse
import fnmatch
import hashlib
import sys
import time
from pathlib import Path

SOURCES = "catalogue colours dits encoders extras shrink unets vaes vocabularies weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "source", type=Path, help="a work tree of ComfyUI; the files go under its models/"
    )
    parser.add_argument(
        "names",
        nargs="*",
        default=["*"],
        help="patterns of file names; all files when none is given",
    )
    parser.add_argument(
        "--force", action="store_true", help="write files again that are up to date"
    )
    arguments = parser.parse_args()

    sys.path.insert(0, str(arguments.source.resolve()))
    from comfy.cli_args import args  # ComfyUI reads its options at import.

    args.cpu = True
    import shrink

    shrink.apply()
    import catalogue
    import vocabularies

    vocabularies.llama(arguments.source)
    here = Path(__file__).parent
    code = b"".join((here / f"{name}.py").read_bytes() for name in SOURCES.split())
    stamp = arguments.source / "models" / "random-weights.txt"
    fingerprint = hashlib.sha256(code).hexdigest()
    fresh = stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint
    for path, build in catalogue.FILES.items():
        target = arguments.source / "models" / path
        if not any(fnmatch.fnmatch(Path(path).stem, pattern) for pattern in arguments.names):
            continue
        if target.exists() and fresh and not arguments.force:
            continue
        start = time.monotonic()
        try:
            build(target)
        except Exception as error:  # A version without that family still gets all others.
            target.unlink(missing_ok=True)
            print(f"{path}: left out: {type(error).__name__}: {error}", flush=True)
            if len(arguments.names) == 1 and arguments.names[0] == Path(path).stem:
                raise
        else:
            print(f"  {time.monotonic() - start:.1f} s", flush=True)
    if arguments.names == ["*"]:
        stamp.write_text(fingerprint, encoding="utf-8")


if __name__ == "__main__":
    main()
