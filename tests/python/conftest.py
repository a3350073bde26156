"""A cluster for the tests of the Python client: `millpond up` on free ports, ended with the tests."""

import pathlib
import subprocess
import tempfile

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = REPOSITORY / "target" / "debug" / "millpond"


@pytest.fixture(scope="session")
def cluster_url():
    with tempfile.TemporaryDirectory() as state:
        flags = ["--executors", "2", "--vcores", "1", "--state", state]
        ports = ["--flight-sql-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
        process = subprocess.Popen(
            [BINARY, "up", *flags, *ports], cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            announced = {}
            for line in process.stdout:
                if line.strip() == "ready":
                    break
                name, value = line.split()
                announced[name] = value
            yield announced["flight_sql"]
        finally:
            process.terminate()
            process.wait(timeout=60)
