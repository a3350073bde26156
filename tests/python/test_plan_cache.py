"""A query that is asked again has the plan that it had, unless something has changed that it depends on."""

import re
import time
import urllib.request

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from conftest import started
from pipelines import query, store
from topics import Topics


@pytest.fixture(scope="module")
def cluster():
    # Of its own: whatever other tests change would make plans be forgotten.
    with started("--executors", "2", "--vcores", "1", "--kafka", "embedded") as addresses:
        yield addresses


@pytest.fixture(scope="module")
def connection(cluster):
    with flight_sql.connect(cluster["flight_sql"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def reused(cluster):
    """Plans that were found since this was asked last."""

    def count():
        with urllib.request.urlopen(f"{cluster['http']}/metrics") as page:
            found = re.search(r"^\w*plans_reused_total (\d+)", page.read().decode(), re.MULTILINE)
        return int(found.group(1)) if found else 0

    last = count()

    def since():
        nonlocal last
        before, last = last, count()
        return last - before

    return since


@pytest.fixture
def table(connection):
    store(connection, "kept", pa.table({"id": [1, 2, 3], "v": ["a", "b", "b"]}))
    yield "kept"
    query(connection, "DROP TABLE kept")


def rows_of(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def value(connection, sql):
    return rows_of(connection, sql)[0][0]


def test_the_same_query_is_planned_once(connection, table, reused):
    sql = "WITH b AS (SELECT id FROM kept WHERE v = 'b') SELECT sum(id) AS s FROM b"
    assert [value(connection, sql) for _ in range(3)] == [5, 5, 5]
    assert reused() == 2


def test_changes_are_seen_at_once(connection, table, reused):
    sql = "SELECT count(*) AS n, max(v) AS v FROM kept"
    ask = lambda: rows_of(connection, sql)[0]
    assert [ask(), ask()] == [(3, "b"), (3, "b")]
    for change, expected in [
        ("INSERT INTO kept VALUES (4, 'c')", (4, "c")),
        ("UPDATE kept SET v = 'd' WHERE id = 1", (4, "d")),
        ("DELETE FROM kept WHERE v IN ('c', 'd')", (2, "b")),
        ("TRUNCATE kept", (0, None)),
        ("CREATE OR REPLACE TABLE kept (v DOUBLE)", (0, None)),
        ("INSERT INTO kept VALUES (1.5)", (1, 1.5)),
    ]:
        query(connection, change)
        assert [ask(), ask()] == [expected, expected], change
    assert reused() == 7
    query(connection, "ALTER TABLE kept RENAME TO kept_elsewhere")
    with pytest.raises(flight_sql.Error, match="kept"):
        ask()
    query(connection, "ALTER TABLE kept_elsewhere RENAME TO kept")


def test_views_and_models_of_today_are_used(connection, table):
    query(connection, "CREATE OR REPLACE VIEW seen AS SELECT id FROM kept WHERE id > 1")
    assert [value(connection, "SELECT count(*) FROM seen") for _ in range(2)] == [2, 2]
    query(connection, "CREATE OR REPLACE VIEW seen AS SELECT id FROM kept WHERE id > 2")
    assert [value(connection, "SELECT count(*) FROM seen") for _ in range(2)] == [1, 1]
    query(connection, "DROP VIEW seen")
    model = "CREATE OR REPLACE MODEL slope OPTIONS (type 'linear_regression', label 'y') AS"
    points = "SELECT CAST(id AS DOUBLE) AS x, {} * CAST(id AS DOUBLE) AS y FROM kept"
    for factor in [2.0, 3.0]:
        query(connection, f"{model} {points.format(factor)}")
        sql = "SELECT predict(slope, CAST(id AS DOUBLE)) AS p FROM kept WHERE id = 2"
        assert [value(connection, sql) for _ in range(2)] == pytest.approx([2 * factor] * 2)
    query(connection, "DROP MODEL slope")


def test_rows_of_a_file_are_those_of_now(connection, reused, tmp_path):
    file = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"a": [1, 2]}), file)
    query(connection, f"CREATE EXTERNAL TABLE filed STORED AS PARQUET LOCATION '{file}'")
    sql = "SELECT sum(a) FROM filed"
    assert [value(connection, sql) for _ in range(2)] == [3, 3]
    assert reused() == 0, "files are looked at by every query"
    query(connection, "CACHE TABLE filed")
    assert [value(connection, sql) for _ in range(2)] == [3, 3]
    assert reused() == 1
    time.sleep(0.01)
    parquet.write_table(pa.table({"a": [1, 2, 4]}), file)
    assert [value(connection, sql) for _ in range(2)] == [7, 7], "the file has changed"
    query(connection, "DROP TABLE filed")


def test_what_is_of_the_moment_is_made_anew(connection, table, reused):
    sql = "SELECT now() AS t, count(*) AS n FROM kept"
    assert value(connection, sql) < value(connection, sql)
    assert value(connection, "SELECT random() FROM kept") != value(connection, "SELECT random() FROM kept")
    sql = "SELECT count(*) FROM kept CROSS JOIN system.jobs"
    assert value(connection, sql) < value(connection, sql)
    assert reused() == 0


def test_constants_are_those_of_their_session(connection, cluster):
    assert [rows_of(connection, "SELECT 1 AS a, 'x' AS b") for _ in range(3)] == [[(1, "x")]] * 3
    sql = "SELECT to_timestamp(0)::TIMESTAMPTZ::TEXT AS t"
    here = [value(connection, sql) for _ in range(2)]
    with flight_sql.connect(cluster["flight_sql"], autocommit=True) as other:
        query(other, "SET datafusion.execution.time_zone = '+02:00'")
        there = [value(other, sql) for _ in range(2)]
    assert there[0] == there[1] != here[0] == here[1]
    assert value(connection, "SELECT now()") < value(connection, "SELECT now()")
    assert value(connection, "SELECT random()") != value(connection, "SELECT random()")
    assert value(connection, "SELECT count(*) FROM system.jobs") < value(connection, "SELECT count(*) FROM system.jobs")
    for _ in range(2):
        with pytest.raises(flight_sql.Error, match="division by zero"):
            value(connection, "SELECT 1 / 0")
    many = "SELECT count(*) FROM generate_series(1, 100000)"
    assert [value(connection, many) for _ in range(2)] == [100000] * 2


def test_topics_are_read_as_they_are(connection, cluster, reused):
    topics = Topics(connection, cluster["kafka"])
    name = "plan_topic"
    topics.follow(name, [{"id": 1, "v": "a"}], "id BIGINT, v TEXT", keyed=False)
    sql = f"SELECT count(*) FROM {name}"
    assert [value(connection, sql) for _ in range(2)] == [1, 1]
    topics.send(name, [{"id": 2, "v": "b"}])
    assert value(connection, sql) == 2
    assert reused() == 0
    query(connection, f"DROP TABLE {name}")


def test_settings_and_parameters_belong_to_the_query(connection, cluster, table, reused):
    sql = "SELECT arrow_cast(id, 'Timestamp(Second, None)')::TIMESTAMPTZ::TEXT AS t FROM kept WHERE id = 1"
    utc = [value(connection, sql) for _ in range(2)]
    with flight_sql.connect(cluster["flight_sql"], autocommit=True) as other:
        query(other, "SET datafusion.execution.time_zone = '+02:00'")
        there = [value(other, sql) for _ in range(2)]
        assert there[0] == there[1] != utc[0] == utc[1]
        query(other, "RESET datafusion.execution.time_zone")
    reused()
    with connection.cursor() as cursor:
        for number in [1, 3]:
            cursor.execute("SELECT id FROM kept WHERE id = $1", parameters=(number,))
            assert cursor.fetchall() == [(number,)]
    query(connection, "PREPARE one AS SELECT count(*) AS n FROM kept WHERE id = 1")
    assert value(connection, "EXECUTE one") == 1
    query(connection, "DEALLOCATE one")
    query(connection, "PREPARE one AS SELECT 7 AS n FROM kept LIMIT 1")
    assert value(connection, "EXECUTE one") == 7
    query(connection, "DEALLOCATE one")
    assert reused() == 0


def test_a_snapshot_is_not_taken_away_while_it_is_read(connection, cluster, reused):
    rows = 200_000
    store(connection, "long", pa.table({"id": range(rows)}))
    sql = "SELECT * FROM long"
    assert len(query(connection, sql)) == rows
    with connection.cursor() as cursor:
        cursor.execute(sql)
        with flight_sql.connect(cluster["flight_sql"], autocommit=True) as other:
            query(other, "CREATE OR REPLACE TABLE long AS SELECT 1 AS id")
            time.sleep(3)
        assert cursor.fetch_arrow_table().num_rows == rows
    assert query(connection, sql)["id"].tolist() == [1]
    query(connection, "DROP TABLE long")
