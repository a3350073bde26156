"""A cluster for the tests of the Python client: `millpond up` on free ports, ended with the tests."""

import contextlib
import os
import pathlib
import subprocess
import tempfile

import adbc_driver_flightsql.dbapi as flight_sql
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = REPOSITORY / "target" / "debug" / "millpond"
# For random rows, and very wide ones. The binary refuses variables that are no settings, so they are taken out.
SEED = os.environ.pop("MILLPOND_SEED", None)
SEEDS = os.environ.pop("MILLPOND_SEEDS", "7")
WIDE = os.environ.pop("MILLPOND_WIDE", None)


@pytest.fixture(scope="session")
def cluster():
    """What a cluster with an embedded broker announces: addresses by name."""
    with started("--executors", "2", "--vcores", "1", "--kafka", "embedded") as addresses:
        yield addresses


@contextlib.contextmanager
def started(*flags):
    """A cluster of its own, as long as it is needed: addresses by name."""
    with tempfile.TemporaryDirectory() as state:
        ports = ["--flight-sql-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
        command = [BINARY, "up", *flags, "--state", state, *ports]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            yield announced(process)
        finally:
            process.terminate()
            process.wait(timeout=60)


def announced(process):
    """What a cluster says at its start: addresses by name."""
    addresses = {}
    for line in process.stdout:
        if line.strip() == "ready":
            break
        name, value = line.split()
        addresses[name] = value
    return addresses


@pytest.fixture(scope="session")
def cluster_url(cluster):
    return cluster["flight_sql"]


@pytest.fixture(scope="session")
def shared_connection(cluster_url):
    with flight_sql.connect(cluster_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def topics(shared_connection, cluster):
    from topics import Topics

    topics = Topics(shared_connection, cluster["kafka"])
    yield topics
    for name in topics.made:
        with shared_connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {name}")
