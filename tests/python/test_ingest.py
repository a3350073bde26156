"""Bulk ingest: Arrow batches of a client become tables in memory."""

import datetime
import decimal
import subprocess
import sys
import threading
import time

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow
import pyarrow.flight
import pytest
from conftest import BINARY


@pytest.fixture
def connection(cluster_url):
    with flight_sql.connect(cluster_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cursor(connection):
    with connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def table(cursor):
    """The name of a table that is gone after the test."""
    yield "ingested"
    cursor.execute("DROP TABLE IF EXISTS ingested")


def rows(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchall()


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def held(cursor):
    """What the executors say they hold, also what no table has yet: a message for each that has shards."""
    messages = []
    for host, port in rows(cursor, "SELECT host, data_port FROM system.executors"):
        with pyarrow.flight.connect(f"grpc://{host}:{port}") as client:
            answers = client.do_action(pyarrow.flight.Action("millpond.shards.list", b""))
            messages.extend(message for answer in answers if (message := answer.body.to_pybytes()))
    return messages


def numbers(start, stop):
    return pyarrow.table({"n": pyarrow.array(range(start, stop), pyarrow.int64())})


def test_modes_say_what_happens_to_a_table(cursor, table):
    with pytest.raises(flight_sql.Error, match="MP0002"):
        cursor.adbc_ingest(table, numbers(0, 3), mode="append")
    assert cursor.adbc_ingest(table, numbers(0, 3), mode="create") == 3
    with pytest.raises(flight_sql.Error, match="MP0006"):
        cursor.adbc_ingest(table, numbers(0, 3), mode="create")
    assert cursor.adbc_ingest(table, numbers(3, 5), mode="append") == 2
    assert cursor.adbc_ingest(table, numbers(5, 6), mode="create_append") == 1
    assert rows(cursor, "SELECT count(*), sum(n) FROM ingested") == [(6, 15)]
    assert rows(cursor, "SELECT rows, version FROM system.tables WHERE table_name = 'ingested'") == [(6, 3)]
    assert cursor.adbc_ingest(table, pyarrow.table({"x": ["a"]}), mode="replace") == 1
    assert rows(cursor, "SELECT * FROM ingested") == [("a",)]
    # The driver sends nothing at all for a table without batches.
    nothing = numbers(0, 1).to_batches()[0].slice(0, 0)
    assert cursor.adbc_ingest(table, nothing, mode="replace") == 0
    assert rows(cursor, "SELECT count(*), sum(n) FROM ingested") == [(0, None)]
    assert cursor.adbc_ingest(table, numbers(0, 2), mode="create_append") == 2


def test_types_come_back_as_they_were(cursor, table):
    sent = pyarrow.table(
        {
            "flag": pyarrow.array([True, None, False]),
            "small": pyarrow.array([1, None, -3], pyarrow.int16()),
            "large": pyarrow.array([2**62, None, -1], pyarrow.int64()),
            "real": pyarrow.array([1.5, None, float("inf")], pyarrow.float64()),
            "text": pyarrow.array(["ä", None, ""], pyarrow.string()),
            "bytes": pyarrow.array([b"\x00", None, b""], pyarrow.binary()),
            "money": pyarrow.array([decimal.Decimal("1.25"), None, decimal.Decimal("-9.99")], pyarrow.decimal128(9, 2)),
            "day": pyarrow.array([datetime.date(2024, 2, 29), None, None], pyarrow.date32()),
            "at": pyarrow.array([datetime.datetime(2024, 2, 29, 12, 30), None, None], pyarrow.timestamp("us")),
            "zoned": pyarrow.array([datetime.datetime(2024, 2, 29), None, None], pyarrow.timestamp("ms", "UTC")),
            "list": pyarrow.array([[1, None], None, []], pyarrow.list_(pyarrow.int32())),
            "word": pyarrow.array(["x", None, "x"]).dictionary_encode(),
        }
    )
    assert cursor.adbc_ingest(table, sent, mode="create") == 3
    cursor.execute("SELECT * FROM ingested")
    received = cursor.fetch_arrow_table()
    assert received.column_names == sent.column_names
    for name in sent.column_names:
        assert received.column(name).to_pylist() == sent.column(name).to_pylist(), name
    for name in ["small", "money", "day", "at", "zoned", "list"]:
        assert received.schema.field(name).type == sent.schema.field(name).type


def test_names_are_taken_as_they_are(cursor):
    cursor.execute("CREATE SCHEMA arrivals")
    sent = pyarrow.table({"Year Born": [1999]})
    cursor.adbc_ingest("People", sent, mode="create", catalog_name="millpond", db_schema_name="arrivals")
    assert rows(cursor, 'SELECT "Year Born" FROM arrivals."People"') == [(1999,)]
    # The driver keeps names from one ingest to the next; so each gives both.
    for catalog, schema, error in [
        ("millpond", "nowhere", "MP0002"),
        ("other", "arrivals", "MP0002"),
        ("millpond", "system", "belongs to the system"),
    ]:
        with pytest.raises(flight_sql.Error, match=error):
            cursor.adbc_ingest("People", sent, mode="create", catalog_name=catalog, db_schema_name=schema)
    with pytest.raises(flight_sql.Error, match="temporary"):
        cursor.adbc_ingest("People", sent, mode="create", temporary=True, catalog_name="", db_schema_name="")
    cursor.execute("DROP SCHEMA arrivals CASCADE")


def test_columns_are_found_by_name_and_values_converted(cursor, table):
    cursor.execute("CREATE TABLE ingested (id BIGINT NOT NULL, name TEXT, price DECIMAL(9, 2), at TIMESTAMP)")
    sent = pyarrow.table({"price": pyarrow.array([3, None], pyarrow.int32()), "id": pyarrow.array([1, 2], pyarrow.int8())})
    assert cursor.adbc_ingest(table, sent, mode="append") == 2
    day = pyarrow.array([datetime.date(2024, 2, 29)], pyarrow.date32())
    assert cursor.adbc_ingest(table, pyarrow.table({"id": [3], "name": ["drei"], "at": day}), mode="append") == 1
    found = rows(cursor, "SELECT id, name, price, at FROM ingested ORDER BY id")
    assert [row[:3] for row in found] == [(1, None, decimal.Decimal("3.00")), (2, None, None), (3, "drei", None)]
    assert str(found[2][3]).startswith("2024-02-29")


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({"id": ["one"]}, "column 'id' of table ingested is Int64"),
        ({"id": [1.5]}, "column 'id'"),
        ({"id": [1], "names": ["x"]}, "did you mean 'name'"),
        ({"name": ["x"]}, "no column 'id'"),
        ({"id": [1, None]}, "column 'id' is NOT NULL"),
        ({"id": [1], "small": [70_000]}, "column 'small' cannot hold"),
    ],
)
def test_what_does_not_fit_names_the_column_and_changes_nothing(cursor, table, sent, error):
    cursor.execute("CREATE TABLE ingested (id BIGINT NOT NULL, name TEXT, small SMALLINT)")
    with pytest.raises(flight_sql.Error, match=error):
        cursor.adbc_ingest(table, pyarrow.table(sent), mode="append")
    assert rows(cursor, "SELECT count(*) FROM ingested") == [(0,)]
    wait_until(lambda: not held(cursor))


def test_a_large_stream_that_does_not_fit_is_refused_with_its_reason(cursor, table):
    cursor.execute("CREATE TABLE ingested (other BIGINT)")
    batch = numbers(0, 500_000).to_batches()[0]
    stream = pyarrow.RecordBatchReader.from_batches(batch.schema, (batch for _ in range(50)))
    with pytest.raises(flight_sql.Error, match="MP0003"):
        cursor.adbc_ingest(table, stream, mode="append")


def test_views_and_tables_over_files_are_no_targets(cursor, tmp_path):
    target = tmp_path / "n.parquet"
    cursor.execute(f"COPY (SELECT value AS n FROM generate_series(1, 3)) TO '{target}'")
    cursor.fetchall()
    cursor.execute(f"CREATE EXTERNAL TABLE in_files STORED AS PARQUET LOCATION '{target}'")
    cursor.execute("CREATE VIEW in_view AS SELECT * FROM in_files")
    for name in ["in_files", "in_view"]:
        for mode in ["append", "replace"]:
            with pytest.raises(flight_sql.Error, match="MP0005"):
                cursor.adbc_ingest(name, numbers(0, 1), mode=mode)
    assert rows(cursor, "SELECT count(*) FROM in_view") == [(3,)]
    cursor.execute("DROP VIEW in_view")
    cursor.execute("DROP TABLE in_files")


def test_many_rows_are_spread_over_the_executors(cursor, table):
    count = 2_500_000
    batches = numbers(0, count).to_batches(max_chunksize=300_000)
    stream = pyarrow.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    assert cursor.adbc_ingest(table, stream, mode="create") == count
    assert rows(cursor, "SELECT count(*), sum(n), count(DISTINCT n) FROM ingested") == [
        (count, count * (count - 1) // 2, count)
    ]
    query = "SELECT count(DISTINCT executor_id), count(*), sum(rows) FROM system.shards WHERE table_name = 'ingested'"
    assert rows(cursor, query) == [(2, 3, count)]
    job = rows(cursor, "SELECT state, sql FROM system.jobs WHERE sql LIKE 'INGEST%' ORDER BY submitted_at DESC LIMIT 1")
    assert job == [("finished", "INGEST INTO ingested (create)")]


def test_one_batch_of_two_million_rows_is_cut(cursor, table):
    assert cursor.adbc_ingest(table, numbers(0, 2_000_000), mode="create") == 2_000_000
    assert rows(cursor, "SELECT count(*) FROM system.shards WHERE table_name = 'ingested'") == [(2,)]


def endless(stop):
    batch = numbers(0, 100_000).to_batches()[0]

    def batches():
        while not stop.is_set():
            yield batch

    return pyarrow.RecordBatchReader.from_batches(batch.schema, batches())


JOBS = "SELECT statement_id, state FROM system.jobs WHERE sql LIKE 'INGEST INTO endless%' ORDER BY submitted_at DESC"
NO_TABLE = "SELECT count(*) FROM system.tables WHERE table_name = 'endless'"


def latest_job(cursor):
    return rows(cursor, JOBS)[0]


def check_nothing_is_left(cursor, state):
    wait_until(lambda: latest_job(cursor)[1] == state)
    assert rows(cursor, NO_TABLE) == [(0,)]
    wait_until(lambda: not held(cursor))


@pytest.mark.parametrize("who", ["client", "operator"])
def test_an_ingest_that_is_cancelled_leaves_nothing(cluster_url, cursor, who):
    stop, failures = threading.Event(), []
    with flight_sql.connect(cluster_url, autocommit=True) as other, other.cursor() as ingesting:

        def work():
            try:
                ingesting.adbc_ingest("endless", endless(stop), mode="create")
            except flight_sql.Error as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            wait_until(lambda: held(cursor))
            assert rows(cursor, NO_TABLE) == [(0,)]
            if who == "client":
                ingesting.adbc_cancel()
            else:
                job = latest_job(cursor)[0]
                subprocess.run([BINARY, "cancel", job, "--url", cluster_url], check=True, stderr=subprocess.PIPE)
            thread.join(20)
            assert failures, "a cancelled ingest is an error"
        finally:
            stop.set()
            thread.join(20)
    check_nothing_is_left(cursor, "cancelled")


def test_a_client_that_dies_leaves_nothing(cluster_url, cursor):
    program = f"""
import adbc_driver_flightsql.dbapi as flight_sql, pyarrow
batch = pyarrow.record_batch({{"n": pyarrow.array(range(100_000))}})
def batches():
    while True:
        yield batch
with flight_sql.connect({cluster_url!r}, autocommit=True) as connection, connection.cursor() as cursor:
    cursor.adbc_ingest("endless", pyarrow.RecordBatchReader.from_batches(batch.schema, batches()), mode="create")
"""
    client = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_until(lambda: held(cursor))
    finally:
        client.kill()
        client.wait()
    check_nothing_is_left(cursor, "cancelled")


def test_rows_that_cannot_be_read_leave_nothing(cursor):
    batch = numbers(0, 100_000).to_batches()[0]

    def broken():
        for _ in range(20):
            yield batch
        raise ValueError("no more")

    with pytest.raises(flight_sql.Error):
        cursor.adbc_ingest("endless", pyarrow.RecordBatchReader.from_batches(batch.schema, broken()), mode="create")
    wait_until(lambda: latest_job(cursor)[1] in ("cancelled", "failed"))
    assert rows(cursor, NO_TABLE) == [(0,)]
    wait_until(lambda: not held(cursor))
