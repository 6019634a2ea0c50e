"""An S3 server on loopback: moto, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

SERVE = (
    "import sys\n"
    "from moto.server import ThreadedMotoServer\n"
    "server = ThreadedMotoServer('127.0.0.1', 0)\n"
    "server.start()\n"
    "print('http://%s:%d' % server.get_host_and_port(), flush=True)\n"
    "sys.stdin.read()\n"
)


@contextmanager
def server(bucket: str, log: Path) -> Generator[Mapping[str, str]]:
    """The environment that leads s3:// to it. The bucket is there; `log` gets every request."""
    with (
        log.open("w", encoding="utf-8") as requests,
        subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=requests,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = next(line.strip() for line in process.stdout if line.startswith("http"))
            found = {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test-secret",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            make = f"import boto3; boto3.client('s3').create_bucket(Bucket={bucket!r})"
            subprocess.run([sys.executable, "-c", make], env=os.environ | found, check=True)
            yield found
        finally:
            process.stdin.close()
            process.terminate()
