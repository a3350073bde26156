"""The catalog in an S3 bucket: it outlives a killed scheduler, and only one scheduler may serve it.

Schedulers are separate processes of the binary that TEST_MILLPOND_BINARY names, or else of the debug build.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from adbc_driver_flightsql import dbapi
from botocore.exceptions import ClientError
from s3_server import S3Server, s3_server

ROOT = Path(__file__).resolve().parents[2]
# The name must not start with MILLPOND_, because Millpond refuses variables of that form that it does not know.
BINARY = Path(os.environ.get("TEST_MILLPOND_BINARY", ROOT / "target/debug/millpond"))
BUCKET = "millpond-test"
STATE = f"s3://{BUCKET}/cluster/one"
START_SECONDS = 60
STOP_SECONDS = 30
ANY_PORT = "127.0.0.1:0"


@dataclass
class Scheduler:
    """A scheduler process and the address that clients use."""

    process: subprocess.Popen
    url: str
    log: Path

    def execute(self, sql: str) -> list[tuple]:
        """Runs one statement in a session of its own and gives its rows."""
        with closing(dbapi.connect(self.url)) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> set[tuple[str, str]]:
        """Schema and name of the tables and views that people have made."""
        rows = self.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('information_schema', 'system')"
        )
        return set(rows)

    def kill(self) -> None:
        """Ends the process without a chance to say goodbye (SIGKILL)."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)


def addresses(process: subprocess.Popen) -> dict[str, str]:
    """Reads the lines by which a node says where it listens, until it is ready or ends."""
    too_late = threading.Timer(START_SECONDS, process.kill)
    too_late.start()
    found = {}
    try:
        for line in process.stdout:
            if line.strip() == "ready":
                return found
            name, _, value = line.partition(" ")
            found[name] = value.strip()
    finally:
        too_late.cancel()
    raise AssertionError(f"the scheduler ended with {process.wait()} before it was ready")


@contextmanager
def scheduler(server: S3Server, folder: Path, name: str) -> Iterator[Scheduler]:
    """Starts a scheduler on the state in S3; kills it at the end if it still runs."""
    log = folder / f"{name}.log"
    command = [BINARY, "scheduler", "--state", STATE]
    command += ["--flight-sql-bind", ANY_PORT, "--http-bind", ANY_PORT, "--internal-bind", ANY_PORT]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MILLPOND_", "AWS_"))}
    environment |= server.variables() | {"MILLPOND_STORAGE_LOCAL_ROOTS": str(folder)}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        try:
            url = addresses(process)["flight_sql"]
        except AssertionError as error:
            error.add_note(log.read_text())
            raise
        yield Scheduler(process, url, log)
    finally:
        process.kill()
        process.wait(STOP_SECONDS)
        process.stdout.close()


@pytest.fixture
def server() -> Iterator[S3Server]:
    with s3_server(BUCKET) as running:
        yield running


def keys(server: S3Server) -> list[str]:
    """Every object in the bucket."""
    listed = server.client().list_objects_v2(Bucket=BUCKET)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def test_server_creates_an_object_only_once(server: S3Server) -> None:
    """Without this the other tests would prove nothing."""
    server.client().put_object(Bucket=BUCKET, Key="x", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        server.client().put_object(Bucket=BUCKET, Key="x", Body=b"second", IfNoneMatch="*")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert server.client().get_object(Bucket=BUCKET, Key="x")["Body"].read() == b"first"


def test_tables_outlive_a_killed_scheduler(server: S3Server, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y\n1,2\n3,4\n")
    with scheduler(server, tmp_path, "first") as first:
        first.execute("CREATE SCHEMA shapes")
        first.execute(
            f"CREATE EXTERNAL TABLE shapes.points STORED AS CSV LOCATION '{tmp_path}/points.csv' "
            "OPTIONS ('format.has_header' 'true')"
        )
        first.execute("CREATE VIEW sums AS SELECT x + y AS total FROM shapes.points")
        made = first.tables()
        assert made == {("shapes", "points"), ("public", "sums")}
        assert keys(server), "the state must be in the bucket"
        assert all(key.startswith("cluster/one/catalog/") for key in keys(server)), keys(server)
        first.kill()
    with scheduler(server, tmp_path, "second") as second:
        assert second.tables() == made
        second.execute("DROP VIEW sums")
        second.kill()
    with scheduler(server, tmp_path, "third") as third:
        assert third.tables() == {("shapes", "points")}


def test_a_second_scheduler_takes_over_and_the_first_one_exits(server: S3Server, tmp_path: Path) -> None:
    with scheduler(server, tmp_path, "first") as first:
        first.execute("CREATE VIEW one AS SELECT 1 AS n")
        with scheduler(server, tmp_path, "second") as second:
            # It writes nothing; its check of the lease must find out.
            assert first.process.wait(STOP_SECONDS) != 0
            assert "another scheduler has taken over" in first.log.read_text()
            second.execute("CREATE VIEW two AS SELECT 2 AS n")
            assert second.tables() == {("public", "one"), ("public", "two")}
