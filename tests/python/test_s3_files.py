"""Files in S3: tables over them, and statements that write them, on a cluster of processes.

Every bucket has an access key of its own in the configuration of the nodes. The server looks at keys only in the tests
that are about them, because moto takes the signature of a listing with a prefix for a wrong one.
"""

import json
import logging
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import boto3
import pyarrow.parquet
import pytest
from conftest import BINARY
from moto.core.authorization import enable_iam_authentication
from s3_server import REGION, S3Server, s3_server

LAKE, MART, FOREIGN, MISSING, SILENT = "lake", "mart", "foreign", "missing", "silent"
# Nobody listens on the port "discard" of this machine.
NOWHERE = "http://127.0.0.1:9"
ERROR_WITHIN_SECONDS = 60
SETTLED_WITHIN_SECONDS = 10
# Enough for uploads in several parts.
BIG = "SELECT value AS n, repeat(md5(cast(value AS TEXT)), 20) AS t FROM generate_series(1, 60000)"


@dataclass
class Key:
    """An access key of the server."""

    access_key_id: str
    secret_access_key: str


@dataclass
class Cluster:
    """A running cluster, its S3 server, and what must not be shown."""

    cursor: flight_sql.Cursor
    server: S3Server
    folder: Path
    secrets: list[str]

    def rows(self, sql: str) -> list[tuple]:
        self.cursor.execute(sql)
        return self.cursor.fetchall()

    def run(self, sql: str) -> None:
        self.cursor.execute(sql)

    def failure(self, sql: str) -> str:
        """Runs a statement that must fail soon, and gives its error, in which there is no secret."""
        start = time.monotonic()
        with pytest.raises(flight_sql.Error) as raised:
            self.cursor.execute(sql)
            self.cursor.fetchall()
        assert time.monotonic() - start < ERROR_WITHIN_SECONDS
        text = str(raised.value)
        assert "[MP" in text
        assert not any(secret in text for secret in self.secrets), text
        return text

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Every object in the bucket below a prefix."""
        listed = self.server.client().list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def get(self, bucket: str, key: str, into: Path) -> Path:
        """Fetches an object into a folder."""
        path = into / key.replace("/", "_")
        self.server.client().download_file(bucket, key, str(path))
        return path

    def assert_no_leftovers(self, bucket: str) -> None:
        """What a write staged, and uploads that it did not complete, go when it ends, or soon after."""

        def leftovers() -> list[str]:
            uploads = self.server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
            staged = [key for key in self.keys(bucket) if "staging" in key]
            return staged + [upload["Key"] for upload in uploads]

        deadline = time.monotonic() + SETTLED_WITHIN_SECONDS
        while found := leftovers():
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def key_for(server: S3Server, bucket: str) -> Key:
    """Makes an access key that is good for one bucket."""
    iam = boto3.client(
        "iam", endpoint_url=server.endpoint, aws_access_key_id="x", aws_secret_access_key="x", region_name=REGION
    )
    arn = f"arn:aws:s3:::{bucket}"
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    iam.create_user(UserName=bucket)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=bucket, PolicyName=bucket, PolicyDocument=policy)
    made = iam.create_access_key(UserName=bucket)["AccessKey"]
    return Key(made["AccessKeyId"], made["SecretAccessKey"])


def configuration(server: S3Server, keys: dict[str, Key]) -> str:
    """The part of millpond.toml that opens the buckets."""
    tables = [
        f'[[storage.bucket]]\nprefix = "s3://{bucket}"\naccess_key_id = "{key.access_key_id}"\n'
        f'secret_access_key = "{key.secret_access_key}"\nregion = "{REGION}"\n'
        f'endpoint = "{NOWHERE if bucket == SILENT else server.endpoint}"\nallow_http = true\n'
        for bucket, key in keys.items()
    ]
    return "\n".join(tables)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("s3_files")
    with s3_server(LAKE, MART, FOREIGN) as server:
        keys = {bucket: key_for(server, bucket) for bucket in (LAKE, MART, MISSING, SILENT)}
        # Somebody else's bucket: our key is good, but not there.
        keys[FOREIGN] = keys[MART]
        (folder / "millpond.toml").write_text(configuration(server, keys))
        flags = ["--executors", "2", "--vcores", "2", "--state", folder / "state", "--set", "log.level=debug"]
        ports = ["--flight-sql-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MILLPOND_", "AWS_"))}
        with (folder / "log").open("w") as errors:
            process = subprocess.Popen(
                [BINARY, "up", *flags, *ports],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            try:
                announced = dict(line.split() for line in iter(process.stdout.readline, "ready\n"))
                secrets = [key.secret_access_key for key in keys.values()]
                with (
                    flight_sql.connect(announced["flight_sql"], autocommit=True) as connection,
                    connection.cursor() as cursor,
                ):
                    yield Cluster(cursor, server, folder, secrets)
            finally:
                process.terminate()
                process.wait(timeout=60)
                process.stdout.close()


def test_one_file_is_written_and_read(cluster: Cluster, tmp_path: Path) -> None:
    copy = "COPY (SELECT value AS n, value % 7 AS k FROM generate_series(1, 1000)) TO 's3://lake/one/out.parquet'"
    assert cluster.rows(copy) == [(1000,)]
    assert cluster.keys(LAKE, "one/") == ["one/out.parquet"]
    assert pyarrow.parquet.read_table(cluster.get(LAKE, "one/out.parquet", tmp_path)).num_rows == 1000
    cluster.run("CREATE EXTERNAL TABLE one_file STORED AS PARQUET LOCATION 's3://lake/one/out.parquet'")
    assert cluster.rows("SELECT count(*), sum(n), max(k) FROM one_file") == [(1000, 500500, 6)]
    assert "one file" in cluster.failure("INSERT INTO one_file VALUES (1, 1)")
    cluster.assert_no_leftovers(LAKE)
    cluster.run("DROP TABLE one_file")
    assert cluster.keys(LAKE, "one/") == ["one/out.parquet"], "the table is gone, its file is not"


def test_many_files_are_written_read_and_added_to(cluster: Cluster) -> None:
    rows = "SELECT value AS n, value % 7 AS k FROM generate_series(1, 20000)"
    cluster.run(f"COPY ({rows}) TO 's3://lake/rows.parquet'")
    cluster.run("CREATE EXTERNAL TABLE source STORED AS PARQUET LOCATION 's3://lake/rows.parquet'")
    groups = "SELECT k, count(*) AS c FROM source GROUP BY k"
    assert cluster.rows(f"COPY ({groups}) TO 's3://lake/many/' STORED AS PARQUET") == [(7,)]
    written = cluster.keys(LAKE, "many/")
    assert len(written) > 1 and all(key.endswith(".parquet") for key in written), written
    cluster.run("CREATE EXTERNAL TABLE many (k BIGINT, c BIGINT) STORED AS PARQUET LOCATION 's3://lake/many/'")
    assert cluster.rows("SELECT count(*), sum(c) FROM many") == [(7, 20000)]
    assert cluster.rows("INSERT INTO many SELECT k + 100, n FROM source WHERE n <= 10") == [(10,)]
    assert cluster.rows("SELECT count(*), sum(c) FROM many") == [(17, 20055)]
    assert set(written) < set(cluster.keys(LAKE, "many/")), "files are added, none is replaced"
    cluster.assert_no_leftovers(LAKE)
    cluster.run("DROP TABLE many")
    cluster.run("DROP TABLE source")


def test_folders_by_value(cluster: Cluster) -> None:
    rows = "SELECT value AS n, value % 3 AS k FROM generate_series(1, 300)"
    cluster.run(f"COPY ({rows}) TO 's3://mart/by_k/' STORED AS CSV PARTITIONED BY (k)")
    assert {key.split("/")[1] for key in cluster.keys(MART, "by_k/")} == {"k=0", "k=1", "k=2"}
    cluster.run(
        "CREATE EXTERNAL TABLE by_k (n BIGINT, k BIGINT) STORED AS CSV PARTITIONED BY (k) "
        "LOCATION 's3://mart/by_k/' OPTIONS ('format.has_header' 'true')"
    )
    assert cluster.rows("SELECT count(*), min(n) FROM by_k WHERE k = 2") == [(100, 2)]
    cluster.assert_no_leftovers(MART)
    cluster.run("DROP TABLE by_k")


def test_a_large_file_goes_up_in_parts(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "werkzeug"):
        cluster.run(f"COPY ({BIG}) TO 's3://lake/large.csv' OPTIONS ('format.has_header' 'false')")
    assert re.search(r"PUT /lake/large\.csv\.staging-\S*partNumber=2", caplog.text), "the server's log of requests"
    cluster.assert_no_leftovers(LAKE)
    assert cluster.keys(LAKE, "large") == ["large.csv"]
    cluster.run(
        "CREATE EXTERNAL TABLE large (n BIGINT, t TEXT) STORED AS CSV LOCATION 's3://lake/large.csv' "
        "OPTIONS ('format.has_header' 'false')"
    )
    assert cluster.rows("SELECT count(*), sum(n), min(length(t)) FROM large") == [(60000, 1800030000, 640)]
    cluster.run("DROP TABLE large")


@pytest.mark.parametrize("target", ["failed/out.csv", "failed/"])
def test_a_failed_write_leaves_nothing(cluster: Cluster, target: str) -> None:
    late_failure = f"SELECT n / (n - 59999) AS n, t FROM ({BIG})"
    error = cluster.failure(f"COPY ({late_failure}) TO 's3://lake/{target}' STORED AS CSV")
    assert "division by zero" in error
    cluster.assert_no_leftovers(LAKE)
    assert cluster.keys(LAKE, "failed") == []


def test_every_bucket_is_opened_with_its_own_key(cluster: Cluster) -> None:
    with enable_iam_authentication():
        for bucket in (LAKE, MART):
            assert cluster.rows(f"COPY (SELECT 1 AS n) TO 's3://{bucket}/own.parquet'") == [(1,)]
            cluster.run(f"CREATE EXTERNAL TABLE own STORED AS PARQUET LOCATION 's3://{bucket}/own.parquet'")
            assert cluster.rows("SELECT n FROM own") == [(1,)]
            cluster.run("DROP TABLE own")


def test_a_wrong_key_is_told(cluster: Cluster) -> None:
    """The key of this bucket's configuration is good, but for another bucket."""
    create = "CREATE EXTERNAL TABLE foreign_rows STORED AS PARQUET LOCATION 's3://foreign/x.parquet'"
    with enable_iam_authentication():
        error = cluster.failure(create)
        assert "MP0035" in error and "x.parquet" in error
        error = cluster.failure("COPY (SELECT 1 AS n) TO 's3://foreign/x.parquet'")
        assert "x.parquet" in error and re.search("access denied|PermissionDenied", error), error
    assert cluster.keys(FOREIGN) == []


def test_a_bucket_that_does_not_exist_is_told(cluster: Cluster) -> None:
    location = "STORED AS PARQUET LOCATION 's3://missing/x/'"
    assert "NoSuchBucket" in cluster.failure(f"CREATE EXTERNAL TABLE nowhere {location}")
    cluster.run(f"CREATE EXTERNAL TABLE nowhere (n BIGINT) {location}")
    assert "NoSuchBucket" in cluster.failure("SELECT count(*) FROM nowhere")
    for write in ("COPY (SELECT 1 AS n) TO 's3://missing/x.parquet'", "INSERT INTO nowhere VALUES (1)"):
        error = cluster.failure(write)
        assert re.search("no such|NotFound|NoSuchBucket", error), error
    cluster.run("DROP TABLE nowhere")


def test_a_file_that_does_not_exist_is_told(cluster: Cluster) -> None:
    error = cluster.failure("CREATE EXTERNAL TABLE nothing STORED AS PARQUET LOCATION 's3://lake/nothing.parquet'")
    assert "MP0030" in error and "s3://lake/nothing.parquet" in error


def test_a_bucket_without_configuration_is_told(cluster: Cluster) -> None:
    for statement in (
        "CREATE EXTERNAL TABLE closed STORED AS PARQUET LOCATION 's3://nobodys/x.parquet'",
        "COPY (SELECT 1 AS n) TO 's3://nobodys/x.parquet'",
    ):
        error = cluster.failure(statement)
        assert "s3://nobodys" in error and "[[storage.bucket]]" in error, error


def test_a_store_that_does_not_answer_is_told(cluster: Cluster) -> None:
    error = cluster.failure("CREATE EXTERNAL TABLE quiet STORED AS PARQUET LOCATION 's3://silent/x.parquet'")
    assert f"{NOWHERE}/silent/x.parquet" in error and "MP0031" in error


def test_secrets_in_statements_are_refused(cluster: Cluster) -> None:
    secret = "typed-by-mistake"
    create = "CREATE EXTERNAL TABLE typed STORED AS PARQUET LOCATION 's3://lake/x.parquet'"
    for option in ("aws.secret_access_key", "aws.session_token"):
        error = cluster.failure(f"{create} OPTIONS ('{option}' '{secret}')")
        assert "MP0034" in error and "[[storage.bucket]]" in error and secret not in error, error
    copy = "COPY (SELECT 1 AS n) TO 's3://lake/typed.parquet'"
    assert secret not in cluster.failure(f"{copy} OPTIONS ('aws.secret_access_key' '{secret}')")
    assert cluster.keys(LAKE, "typed") == []
    assert secret not in (cluster.folder / "log").read_text()


def test_configured_secrets_are_shown_nowhere(cluster: Cluster) -> None:
    """Last in the file: by now the nodes have used all of them, at the level debug of the log."""
    shown = {
        "system.settings": str(cluster.rows("SELECT * FROM system.settings")),
        "system.tables": str(cluster.rows("SELECT * FROM system.tables")),
        "SHOW ALL": str(cluster.rows("SHOW ALL")),
        "log": (cluster.folder / "log").read_text(),
    }
    state = [path for path in (cluster.folder / "state").rglob("*") if path.is_file()]
    shown |= {str(path): path.read_bytes().decode(errors="replace") for path in state}
    assert state and shown["log"] and shown["system.settings"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MILLPOND_")}
    show = [BINARY, "config", "show", "--config", cluster.folder / "millpond.toml"]
    told = subprocess.run(show, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    shown["config show"] = told.stdout + told.stderr
    assert "storage" in shown["config show"]
    for secret in cluster.secrets:
        assert [place for place, text in shown.items() if secret in text] == []
