"""The ADBC driver for Flight SQL, as people use it from Python."""

import threading
import time

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow
import pytest

PAIRS = "SELECT count(*) FROM generate_series(1, 200000) a(x) JOIN generate_series(1, 200000) b(y) ON a.x % 7 = b.y % 7"


@pytest.fixture
def connection(cluster_url):
    with flight_sql.connect(cluster_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cursor(connection):
    with connection.cursor() as cursor:
        yield cursor


def rows(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchall()


def test_types_arrive_as_arrow_types(cursor):
    cursor.execute("SELECT 1 AS i, 1.5 AS f, 'ä' AS t, NULL AS n, date '2024-02-29' AS d, [1, 2] AS l")
    table = cursor.fetch_arrow_table()
    assert table.column("i").to_pylist() == [1] and table.column("t").to_pylist() == ["ä"]
    assert table.schema.field("d").type == pyarrow.date32()
    assert table.column("l").to_pylist() == [[1, 2]]


def test_tables_views_and_files(cursor, tmp_path):
    target = tmp_path / "squares.parquet"
    cursor.execute(f"COPY (SELECT value AS n, value * value AS square FROM generate_series(1, 100)) TO '{target}'")
    assert cursor.fetchall() == [(100,)]
    cursor.execute(f"CREATE EXTERNAL TABLE squares STORED AS PARQUET LOCATION '{target}'")
    cursor.execute("CREATE VIEW even AS SELECT * FROM squares WHERE n % 2 = 0")
    assert rows(cursor, "SELECT count(*), sum(square) FROM even") == [(50, 171700)]
    cursor.execute("DROP VIEW even")
    cursor.execute("DROP TABLE squares")


def test_statements_about_caches_run_like_others(cursor, tmp_path):
    target = tmp_path / "cubes.parquet"
    cursor.execute(f"COPY (SELECT value AS n, value * value * value AS cube FROM generate_series(1, 100)) TO '{target}'")
    cursor.execute(f"CREATE EXTERNAL TABLE cubes STORED AS PARQUET LOCATION '{target}'")
    assert rows(cursor, "CACHE TABLE cubes") == [(100,)]
    assert rows(cursor, "SELECT cache, rows FROM system.tables WHERE table_name = 'cubes'") == [("filled", 100)]
    assert rows(cursor, "REFRESH TABLE cubes") == [(100,)]
    cursor.execute("UNCACHE TABLE cubes")
    cursor.execute("CACHE LAZY TABLE cubes")
    assert rows(cursor, "SELECT cache FROM system.tables WHERE table_name = 'cubes'") == [("lazy",)]
    assert not cursor.adbc_prepare("CLEAR CACHE"), "it has no parameters"
    cursor.execute("CLEAR CACHE")
    assert rows(cursor, "SELECT cache FROM system.tables WHERE table_name = 'cubes'") == [(None,)]
    with pytest.raises(flight_sql.Error, match="MP0001"):
        cursor.execute("CACHE cubes")
    cursor.execute("DROP TABLE cubes")


def test_parameters_are_bound(cursor):
    assert rows(cursor, "SELECT $1 + 1 AS x, upper($2) AS y", (41, "abc")) == [(42, "ABC")]


def test_the_catalog_is_described(connection, cursor):
    cursor.execute("CREATE OR REPLACE VIEW described AS SELECT 1 AS x, 'a' AS y")
    objects = connection.adbc_get_objects(depth="all", table_name_filter="described").read_all().to_pylist()
    schemas = [schema for catalog in objects for schema in catalog["catalog_db_schemas"]]
    tables = [table for schema in schemas for table in schema["db_schema_tables"]]
    assert [table["table_name"] for table in tables] == ["described"]
    assert [column["column_name"] for column in tables[0]["table_columns"]] == ["x", "y"]
    assert connection.adbc_get_table_schema("described").names == ["x", "y"]
    assert connection.adbc_get_info()["vendor_name"] == "Millpond"
    cursor.execute("DROP VIEW described")


def test_settings_belong_to_a_connection(cluster_url, cursor):
    cursor.execute("SET datafusion.execution.batch_size = 77")
    assert rows(cursor, "SHOW datafusion.execution.batch_size")[0][1] == "77"
    with flight_sql.connect(cluster_url, autocommit=True) as other, other.cursor() as other_cursor:
        assert rows(other_cursor, "SHOW datafusion.execution.batch_size")[0][1] != "77"


def test_errors_have_a_code_and_the_connection_lives_on(cursor):
    with pytest.raises(flight_sql.Error, match="MP0002"):
        cursor.execute("SELECT * FROM nowhere")
    with pytest.raises(flight_sql.Error, match="MP0001"):
        cursor.execute("SELEC 1")
    assert rows(cursor, "SELECT 1") == [(1,)]


def test_a_statement_is_cancelled(cluster_url, cursor):
    with flight_sql.connect(cluster_url, autocommit=True) as other, other.cursor() as slow:
        threading.Timer(0.5, slow.adbc_cancel).start()
        start = time.monotonic()
        with pytest.raises(flight_sql.Error):
            slow.execute(PAIRS)
            slow.fetchall()
        assert time.monotonic() - start < 10
    deadline = time.monotonic() + 10
    query = "SELECT count(*) FROM system.jobs WHERE state = 'cancelled' AND sql LIKE '%a.x % 7%'"
    while rows(cursor, query) != [(1,)]:
        assert time.monotonic() < deadline, "the cluster did not hear of it"
        time.sleep(0.05)
