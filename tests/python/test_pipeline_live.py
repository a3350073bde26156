"""Pipelines and topics: what was learned from a table applied to rows as they come; topics as source and as output."""

import datetime
import json

import pandas as pd
import pyarrow as pa
import pytest
from pipelines import apply, query, refused, run, store, tables, versions

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("income", pa.float64()),
        ("visits", pa.int64()),
        ("city", pa.string()),
        ("day", pa.date32()),
        ("member", pa.bool_()),
    ]
)
COLUMNS = "id BIGINT, income DOUBLE, visits BIGINT, city TEXT, day DATE, member BOOLEAN"
STEPS = [
    {"impute": {"columns": ["income"], "strategy": "median", "by": ["city"], "indicator": True}},
    {"clip": {"columns": ["income"], "quantiles": [0.05, 0.95]}},
    {"derive": {"ratio": "income / (1 + visits)", "share": "city", "order": "city", "encoded": "city"}},
    {"standardize": ["income", "ratio"]},
    {"bin": {"columns": ["visits"], "quantile": 4}},
    {"date_parts": {"columns": ["day"], "parts": ["year", "week", "weekday", "days"]}},
    {"frequency": ["share"]},
    {"ordinal": {"columns": ["order"]}},
    {"target_encode": {"columns": ["encoded"], "target": "visits"}},
    {"one_hot": {"columns": ["city", "member"], "min_share": 0.2}},
    {"split": {"key": ["id"], "test": 0.2}},
]


def person(number):
    """A row with what rows have; every few lack something."""
    return {
        "id": number,
        "income": [None, "NaN", "Infinity"][number % 3] if number % 11 == 0 else 1000.1 * (number * 37 % 101) / 7,
        "visits": None if number % 13 == 0 else number * 7 % 23,
        "city": [None, "", "Zürich", "東京", "o'Brien", "Zürich", "東京", "Zürich"][number % 8],
        "day": None if number % 17 == 0 else str(datetime.date(1969, 12, 1) + datetime.timedelta(days=97 * number)),
        "member": [True, False, None][number % 3],
    }


def as_table(people):
    """The rows that messages become."""

    def value(name, message):
        found = message[name]
        if found is None or name not in ("income", "day"):
            return found
        return float(found) if name == "income" else datetime.date.fromisoformat(found)

    return pa.Table.from_pylist([{name: value(name, one) for name in SCHEMA.names} for one in people], schema=SCHEMA)


def inserted(people):
    return [{"op": "insert", "id": one["id"], "data": one} for one in people]


@pytest.fixture(scope="module")
def connection(shared_connection):
    return shared_connection


def identical(actual, expected):
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)


@pytest.mark.parametrize("keyed", [True, False], ids=["keyed", "append"])
def test_the_same_rows_have_the_same_values_as_a_table_and_as_they_come(connection, topics, keyed):
    people = [person(number) for number in range(1, 301)]
    live = f"people_{'keyed' if keyed else 'appended'}"
    store(connection, "people", as_table(people))
    topics.follow(live, inserted(people) if keyed else people, COLUMNS, keyed)
    run(connection, "of_people", STEPS, source="people")
    of_table = apply(connection, "of_people", "people", "people_features")
    assert len(of_table) == len(people)
    identical(apply(connection, "of_people", live, f"{live}_features"), of_table)
    query(connection, f"DROP VIEW {live}_features")


def test_changes_come_out_transformed_at_once(connection, topics):
    people = {number: person(number) for number in range(1, 201)}
    store(connection, "people", as_table(people.values()))
    topics.follow("changing", inserted(people.values()), COLUMNS, keyed=True)
    run(connection, "of_people", STEPS, source="people")
    apply(connection, "of_people", "changing", "changing_features")
    changed = {number: person(number) | {"income": number * 11.5, "city": "Zürich"} for number in (1, 22, 90)}
    # Also a city that was not there, and a row without anything.
    nothing = dict.fromkeys(SCHEMA.names)
    new = {901: person(901) | {"city": "Genève"}, 902: nothing | {"id": 902}}
    gone = [3, 44, 200]
    for messages in [
        [{"op": "update", "id": number, "data": one} for number, one in changed.items()],
        [{"op": "delete", "id": number} for number in gone],
        inserted(new.values()),
    ]:
        topics.send("changing", messages)
        for message in messages:
            people.pop(message["id"], None)
            people |= {message["id"]: message["data"]} if "data" in message else {}
        store(connection, "people_now", as_table(people[number] for number in sorted(people)))
        expected = apply(connection, "of_people", "people_now", "people_now_features")
        identical(query(connection, "SELECT * FROM changing_features ORDER BY id"), expected)
    unknown = query(connection, "SELECT * FROM changing_features WHERE id = 901").iloc[0]
    assert (unknown["city_other"], unknown["order"], unknown["share"]) == (1, -1, 0)
    query(connection, "DROP VIEW changing_features")


def test_a_view_keeps_its_version_when_the_pipeline_runs_again(connection, topics):
    topics.follow("versioned", [person(number) for number in range(1, 51)], COLUMNS, keyed=False)
    run(connection, "of_versioned", STEPS, source="versioned")
    before = apply(connection, "of_versioned", "versioned", "versioned_features")
    topics.send("versioned", [person(number) | {"income": 1e6} for number in range(51, 101)])
    query(connection, "RUN PIPELINE of_versioned")
    assert versions(connection, "of_versioned")[-2:] == [1, 2]
    identical(query(connection, "SELECT * FROM versioned_features WHERE id <= 50 ORDER BY id"), before)
    newer = apply(connection, "of_versioned", "versioned", "versioned_features")
    assert len(newer) == 100 and not newer["income"].iloc[:50].equals(before["income"])
    query(connection, "DROP VIEW versioned_features")


@pytest.mark.parametrize("keyed", [True, False], ids=["keyed", "append"])
def test_a_live_table_is_a_source_as_it_is_at_that_moment(connection, topics, keyed):
    people = [person(number) for number in range(1, 201)]
    live = f"source_{'keyed' if keyed else 'appended'}"
    store(connection, "people", as_table(people))
    topics.follow(live, inserted(people) if keyed else people, COLUMNS, keyed)
    steps = [step for step in STEPS if "target_encode" not in step]
    of_table, _ = run(connection, "of_table", steps, source="people")
    of_live, report = run(connection, "of_live", steps, source=live)
    pd.testing.assert_frame_equal(of_live, of_table, rtol=1e-12)
    assert report[report["what"] == "rows in"]["value"].iloc[0] == "200"
    more = [person(number) for number in range(201, 221)]
    topics.send(live, inserted(more) if keyed else more)
    assert len(query(connection, "SELECT * FROM of_live_out")) == 200
    query(connection, "RUN PIPELINE of_live")
    assert len(query(connection, "SELECT * FROM of_live_out")) == 220


def test_rows_go_to_a_topic(connection, topics):
    people = [person(number) | {"income": [None, number / 7][number % 2]} for number in range(1, 101)]
    store(connection, "people", as_table(people))
    steps = [
        {"impute": {"columns": ["income"], "strategy": "median"}},
        {"min_max": ["income"]},
        {"select": ["id", "income", "city"]},
    ]
    # The first message makes the topic.
    topics.follow("features", [{"id": 0}], keyed=False, columns="id BIGINT, income DOUBLE, city TEXT")
    out, report = run(
        connection, "to_topic", steps, source="people", output=[{"table": "to_topic_out"}, {"insert": "features"}]
    )
    assert "features" in set(report["value"])
    topics.wait("features")
    sent = query(connection, "SELECT * FROM features WHERE id > 0 ORDER BY id")
    pd.testing.assert_frame_equal(sent, out, check_exact=True, check_dtype=False)


def test_a_topic_follows_another_and_both_are_live(connection, topics):
    """A pipeline from a topic into a topic with a key, which another view is over."""
    people = [person(number) | {"income": [None, number / 7][number % 2]} for number in range(1, 51)]
    topics.follow("raw_people", people, COLUMNS, keyed=False)
    topics.follow("clean_people", inserted([{"id": 0}]), keyed=True, columns="id BIGINT, income DOUBLE")
    steps = [{"impute": {"columns": ["income"], "strategy": "mean"}}, {"select": ["id", "income"]}]
    spec = {"source": "raw_people", "output": [{"table": "topic_to_topic_out"}, {"insert": "clean_people"}]}
    out, _ = run(connection, "topic_to_topic", steps, **spec)
    topics.wait("clean_people")
    identical(query(connection, "SELECT * FROM clean_people WHERE id > 0 ORDER BY id"), out)


def test_infinite_values_go_to_a_topic_too(connection, topics):
    store(connection, "infinite", pa.table({"id": [1], "x": [float("inf")]}))
    topics.follow("infinite_features", [{"id": 0}], keyed=False, columns="id BIGINT, x DOUBLE")
    run(
        connection,
        "infinite_to_topic",
        [],
        source="infinite",
        output=[{"table": "infinite_to_topic_out"}, {"insert": "infinite_features"}],
    )
    topics.wait("infinite_features")
    assert query(connection, "SELECT x FROM infinite_features WHERE id = 1")["x"].iloc[0] == float("inf")


def test_a_topic_that_lacks_a_column_is_told_before_anything_is_written(connection, topics):
    store(connection, "people", as_table([person(1), person(2)]))
    topics.follow("narrow", [{"id": 0}], keyed=False, columns="id BIGINT")
    said = refused(
        connection,
        "to_narrow",
        [{"trim": ["city"]}],
        source="people",
        output=[{"table": "to_narrow_out"}, {"insert": "narrow"}],
    )
    assert "income" in said and "narrow" in said
    assert "to_narrow_out" not in tables(connection) and not versions(connection, "to_narrow")
