"""Tables of a real PostgreSQL, followed over Debezium and Kafka, must become equal tables of Millpond."""

import concurrent.futures
import datetime
import os
import random
import time

import adbc_driver_flightsql.dbapi as flight_sql
import history
import pytest
from shop import DOCUMENTS, TABLES, WAYS

# Longest wait for rows to come through; much more than it takes.
PATIENCE = 60
BROKER = os.environ["MILLPOND_TEST_KAFKA"]
NO_TOPIC = "MP0080"


def wait_until(condition, what, connect):
    """Waits for a condition. A connector that has stopped is told at once."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert not connect.failures(), connect.failures()
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def create(cluster, name, topic, columns, key, options):
    """Creates a table that follows a topic, or says false if there is no such topic yet."""
    options = ", ".join(f"'{option}' '{value}'" for option, value in ({"format": "debezium-json"} | options).items())
    try:
        cluster.query(
            f"CREATE EXTERNAL TABLE {name} ({columns}, PRIMARY KEY ({key})) STORED AS KAFKA "
            f"LOCATION 'kafka://{BROKER}/{topic}' OPTIONS ({options})"
        )
    except flight_sql.Error as error:
        if NO_TOPIC not in str(error):
            raise
        return False
    return True


def follow(cluster, connect, way, table):
    """Makes the table of Millpond for a table of PostgreSQL."""
    columns = ", ".join(f"{column} {way.sql_type(kind)}" for column, kind in table.columns.items())
    options = way.options | {"checkpoint.interval": "500ms"}
    place = (f"{way.name}_{table.name}", f"{way.name}.shop.{table.name}")
    wait_until(
        lambda: create(cluster, *place, columns, ", ".join(table.keys), options),
        lambda: f"no topic {place[1]}",
        connect,
    )


class Shop:
    """The tables in PostgreSQL, and how far Millpond has them."""

    def __init__(self, postgres, connect, cluster, seed):
        self.postgres, self.connect, self.cluster, self.seed = postgres, connect, cluster, seed
        self.random = random.Random(seed)
        self.marker = 0

    def change(self, transactions):
        history.run(self.postgres, self.random, transactions)

    def settle(self):
        """Waits until a change that is made now has come through on all ways."""
        self.marker += 1
        self.postgres.execute("UPDATE shop.markers SET number = %s", [self.marker])
        for way in WAYS:
            numbers = f"SELECT number FROM {way.name}_markers"
            wait_until(
                lambda: self.cluster.query(numbers) == [(self.marker,)], lambda: f"{way.name}: no marker", self.connect
            )

    def check(self):
        """Compares all tables on all ways."""
        self.settle()
        for way in WAYS:
            for table in TABLES:
                self.check_table(way, table)

    def check_table(self, way, table):
        expected, actual = self.wanted(way, table), {}
        self.cluster.query(f"WAIT FOR TABLE {way.name}_{table.name}")

        # Messages of other topic partitions than that of the marker may come a moment later.
        def is_equal():
            actual.clear()
            actual.update(self.found(way, table))
            return actual == expected

        wait_until(is_equal, lambda: self.difference(way, table, expected, actual), self.connect)

    def wanted(self, way, table):
        """Rows of PostgreSQL by key, as they must be in Millpond."""
        as_double, as_text = {"real"}, {"json", "large_json", "uuid"}
        columns = [
            f"{name}::double precision" if kind in as_double else f"{name}::text" if kind in as_text else name
            for name, kind in table.columns.items()
        ]
        kinds = list(table.columns.values())
        rows = self.postgres.execute(f"SELECT {', '.join(columns)} FROM shop.{table.name}").fetchall()
        rows = [
            tuple(way.expected(kind, in_utc(value)) for kind, value in zip(kinds, row, strict=True)) for row in rows
        ]
        return {row[: table.key]: row[table.key :] for row in rows}

    def found(self, way, table):
        """Rows of Millpond by key."""
        rows = self.cluster.query(f"SELECT {', '.join(table.columns)} FROM {way.name}_{table.name}")
        rows = [tuple(map(in_utc, row)) for row in rows]
        by_key = {row[: table.key]: row[table.key :] for row in rows}
        assert len(by_key) == len(rows), f"{way.name} {table.name}: a key comes twice; MILLPOND_SEED={self.seed}"
        return by_key

    def difference(self, way, table, expected, actual):
        lines = [f"{way.name} {table.name} is not equal; MILLPOND_SEED={self.seed}"]
        lines += [f"missing: {key}" for key in sorted(expected.keys() - actual.keys())[:3]]
        lines += [f"too much: {key}" for key in sorted(actual.keys() - expected.keys())[:3]]
        for key in sorted(key for key in expected.keys() & actual.keys() if expected[key] != actual[key])[:3]:
            values = zip(table.values, expected[key], actual[key], strict=True)
            lines += [f"{key} {column}: {one!r:.300} is {two!r:.300}" for column, one, two in values if one != two]
        letters = "SELECT table_name, reason, detail, CAST(value AS TEXT) FROM system.dead_letters LIMIT 3"
        return "\n".join(lines + [f"dead letter: {letter!r:.1000}" for letter in self.cluster.query(letters)])


def in_utc(value):
    """A point in time without its zone."""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return value


@pytest.fixture(scope="module")
def shop(postgres, connect, cluster, seed):
    """Tables that had rows before there was a connector, and that change while connectors read these."""
    shop = Shop(postgres, connect, cluster, seed)
    postgres.execute("CREATE SCHEMA shop")
    postgres.execute("CREATE TABLE shop.markers (id integer PRIMARY KEY, number bigint)")
    postgres.execute("INSERT INTO shop.markers VALUES (1, 0)")
    postgres.execute("CREATE TABLE shop.emptied (id integer PRIMARY KEY, name text)")
    postgres.execute("INSERT INTO shop.emptied SELECT n, 'old' FROM generate_series(1, 10) n")
    postgres.execute("CREATE TABLE shop.odd (id integer PRIMARY KEY, weight double precision)")
    postgres.execute("INSERT INTO shop.odd VALUES (1, 1), (2, 'NaN'), (3, 'Infinity'), (4, '-Infinity')")
    columns = "id integer PRIMARY KEY, day date, clock time, at timestamp, brief timestamp(3)"
    postgres.execute(f"CREATE TABLE shop.dated ({columns})")
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
    postgres.execute("INSERT INTO shop.dated VALUES (1, %s, %s, %s, %s)", [at.date(), at.time(), at, at])
    for table in TABLES:
        postgres.execute(table.create())
        for _ in range(20):
            history.insert(postgres, shop.random, table)
    for way in WAYS:
        names = [f"shop.{name}" for name in ["markers", "odd", "dated", *(table.name for table in TABLES)]]
        # A truncate is read in topics of one partition only.
        names += ["shop.emptied"] * (way.partitions == 1)
        connect.create(way.name, names, way.connector | {"topic.creation.default.partitions": str(way.partitions)})
    shop.change(100)
    for way in WAYS:
        for table in TABLES:
            follow(cluster, connect, way, table)
        place = (f"{way.name}_markers", f"{way.name}.shop.markers", "id INT, number BIGINT", "id")
        wait_until(lambda: create(cluster, *place, way.options), lambda: "no topic of the marker", connect)
    return shop


def test_rows_from_before_and_random_changes(shop):
    shop.check()
    shop.change(300)
    shop.check()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_large_values_that_did_not_change_are_kept(shop, way):
    body, attachment, extra = "large " * 2000, bytes(range(256)) * 40, "[" + "1234567, " * 2000 + "1]"
    shop.postgres.execute("ALTER TABLE shop.documents ALTER body SET STORAGE EXTERNAL")
    shop.postgres.execute("DELETE FROM shop.documents WHERE id = 1000")
    row = [body, os.urandom(10000) + attachment, extra]
    shop.postgres.execute("INSERT INTO shop.documents VALUES (1000, 'first', %s, %s, %s)", row)
    for title in ["second", "third"]:
        shop.postgres.execute("UPDATE shop.documents SET title = %s WHERE id = 1000", [title])
    shop.settle()
    shop.check_table(way, DOCUMENTS)
    name = f"{way.name}_documents"
    found = shop.cluster.query(f"SELECT title, body, attachment FROM {name} WHERE id = 1000")
    assert found == [("third", body, row[1])]


def test_an_executor_is_killed_meanwhile(shop):
    with concurrent.futures.ThreadPoolExecutor() as threads:
        changes = threads.submit(shop.change, 400)
        shop.cluster.kill_executor(1)
        shop.cluster.start_executor(1)
        changes.result()
    shop.check()


def test_everything_is_killed_meanwhile(shop):
    shop.change(100)
    shop.cluster.kill()
    shop.change(100)
    shop.cluster.start()
    shop.change(100)
    shop.check()


def test_connectors_start_again(shop):
    shop.change(50)
    for way in WAYS:
        shop.connect.restart(way.name)
    shop.change(100)
    shop.check()


def test_a_truncate_empties_the_table(shop):
    way = next(way for way in WAYS if way.partitions == 1)
    place = (f"{way.name}_emptied", f"{way.name}.shop.emptied")
    assert create(shop.cluster, *place, "id INT, name TEXT", "id", {})
    rows = f"SELECT id, name FROM {place[0]} ORDER BY id"
    shop.settle()
    wait_until(lambda: len(shop.cluster.query(rows)) == 10, lambda: "the first rows did not come", shop.connect)
    with shop.postgres.transaction():
        shop.postgres.execute("INSERT INTO shop.emptied VALUES (11, 'gone')")
        shop.postgres.execute("TRUNCATE shop.emptied")
        shop.postgres.execute("INSERT INTO shop.emptied VALUES (3, 'new')")
    wait_until(lambda: shop.cluster.query(rows) == [(3, "new")], lambda: str(shop.cluster.query(rows)), shop.connect)


def test_no_message_is_a_dead_letter(shop):
    letters = "SELECT table_name, reason, detail, count(*) FROM system.dead_letters GROUP BY 1, 2, 3"
    assert shop.cluster.query(letters) == []
    behind = "SELECT table_name, state, lag FROM system.streams WHERE lag > 0 OR state <> 'live'"
    wait_until(lambda: shop.cluster.query(behind) == [], lambda: str(shop.cluster.query(behind)), shop.connect)


def read_again(shop, name, topic, columns, key, options):
    """Rows of a topic in another table, which is gone afterwards."""
    assert create(shop.cluster, name, topic, columns, key, options)
    try:
        shop.cluster.query(f"WAIT FOR TABLE {name}")
        return shop.cluster.query(f"SELECT * FROM {name} ORDER BY 1")
    finally:
        shop.cluster.query(f"DROP TABLE {name}")


def test_floating_point_values_that_are_no_numbers(shop):
    rows = read_again(shop, "odd", "plain.shop.odd", "id INT, weight DOUBLE", "id", {})
    assert [str(weight) for _, weight in rows] == ["1.0", "nan", "inf", "-inf"]


def test_dates_with_a_zone(shop):
    rows = read_again(shop, "days", "words.shop.dated", "id INT, day DATE", "id", {})
    assert rows == [(1, datetime.date(2026, 1, 2))]


def test_units_of_times_are_in_the_schema(shop):
    columns = "id INT, day DATE, clock TIME, at TIMESTAMP, brief TIMESTAMP(3)"
    rows = read_again(shop, "times", "wrapped.shop.dated", columns, "id", {})
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
    assert rows == [(1, at.date(), at.time(), at, at.replace(microsecond=679000))]
