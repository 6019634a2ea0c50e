"""Run a real sd-server of stable-diffusion.cpp with a model of random weights, on CPU.

    python tools/sd_server/serve.py --binary SD_SERVER --home /tmp/w/sd [--port 18234]

The model is made once, with torch and diffusers of the extra `local`: SD 1.5 in full size and fp16,
2.1 GB, since sd.cpp knows the sizes of its layers beforehand. A build, 200 files of C++:

    pip download --no-binary :all: --no-deps stable-diffusion-cpp-python==0.4.7
    tar xf stable_diffusion_cpp_python-0.4.7.tar.gz
    cd stable_diffusion_cpp_python-0.4.7/vendor/stable-diffusion.cpp
    cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DSD_BUILD_EXAMPLES=ON
    cmake --build build --target sd-server

Then, with ZIGGIE_SD_SERVER=http://127.0.0.1:18234 in the environment:

    pytest -m live tests/providers/test_sd_server_live.py
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--binary", type=Path, required=True, help="the sd-server that was built")
    parser.add_argument("--home", type=Path, required=True, help="a folder for the model")
    parser.add_argument("--port", type=int, default=18_234)
    parser.add_argument("--prepare", action="store_true", help="make the model, start nothing")
    arguments = parser.parse_args()

    model = arguments.home.resolve() / "random-sd15"
    if not (model / "unet").is_dir():
        weights = Path(__file__).parent / "weights.py"
        subprocess.run([sys.executable, weights, model], check=True)
    if arguments.prepare:
        return
    binary, loras = str(arguments.binary.resolve()), model.parent / "loras"
    loras.mkdir(exist_ok=True)  # else it lists every file below the folder where it starts
    listen = ["--listen-ip", "127.0.0.1", "--listen-port", str(arguments.port)]
    os.execv(binary, [binary, "-m", str(model), *listen, "--lora-model-dir", str(loras)])


if __name__ == "__main__":
    main()
