"""SUMMARIZE beside pandas: exact, however many values a column has."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pipelines import equal, query, store

ROWS = 25_000
TOP = 5


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(5)
    many = random.integers(0, 12_000, ROWS)
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "key": [f"k{number:05}" for number in random.permutation(ROWS)],
            # Many values, some of them more often than others.
            "many": [f"m{number}" for number in np.where(random.random(ROWS) < 0.1, many % 7, many)],
            "long": [f"{'x' * 200}{number % 9_000}" for number in range(ROWS)],
            "amount": np.where(random.random(ROWS) < 0.2, 7.5, random.normal(0, 1, ROWS).round(3) + 0.0),
            "unlike": random.normal(0, 1, ROWS),
            "whole": random.integers(-3, 3, ROWS),
            "flag": random.random(ROWS) < 0.3,
            "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(random.integers(0, 9, ROWS), unit="D"),
            "empty": pd.array([None] * ROWS, dtype="string"),
        }
    )
    for number in range(30):
        frame[f"t{number}"] = random.choice(["a", "b", "ü", "", "it's", None], ROWS, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    frame.loc[::50, "unlike"] = np.nan
    # The last rows come twice.
    return pd.concat([frame, frame.tail(100)], ignore_index=True)


@pytest.fixture(scope="module")
def summary(shared_connection, frame):
    store(shared_connection, "summed", pa.Table.from_pandas(frame, preserve_index=False))
    return query(shared_connection, "SUMMARIZE summed").set_index("column_name")


def shown(value):
    match value:
        case bool() | np.bool():
            return str(value).lower()
        case pd.Timestamp():
            return value.isoformat()
        case _:
            return str(value)


def top_of(values):
    """The most frequent values, the least text first among equals."""
    counts = [(shown(value), count) for value, count in values.dropna().value_counts().items()]
    counts.sort(key=lambda found: (-found[1], found[0].encode()))
    return ", ".join(f"{value} {count}" for value, count in counts[:TOP])


def test_frequent_values(frame, summary):
    for name in frame.columns.difference(["day"]):
        assert summary["top"].fillna("")[name] == top_of(frame[name]), name
    assert summary["top"]["day"].startswith(str(frame["day"].value_counts().index[0].date()))


def test_counts(frame, summary):
    assert (summary["rows"] == len(frame)).all()
    assert (summary["duplicate_rows"] == 100).all()
    for name in frame:
        assert summary["nulls"][name] == frame[name].isna().sum(), name
        assert summary["distinct"][name] == frame[name].nunique(), name


def test_numbers(frame, summary):
    for name in ["id", "amount", "unlike", "whole"]:
        values = frame[name].dropna().astype("float64")
        low, high = values.quantile([0.25, 0.75])
        width = 1.5 * (high - low)
        outliers = ((values < low - width) | (values > high + width)).sum()
        assert summary["outliers"][name] == outliers, name
        skew = (((values - values.mean()) / values.std()) ** 3).mean()
        found = summary.loc[name, ["mean", "std", "q25", "q50", "q75", "skew"]]
        equal(found, [values.mean(), values.std(), low, values.median(), high, skew], tolerance=1e-6, what=name)


def test_a_table_without_rows(shared_connection):
    query(shared_connection, "CREATE OR REPLACE TABLE summed_none (a TEXT, b DOUBLE)")
    summary = query(shared_connection, "SUMMARIZE summed_none")
    assert summary["rows"].tolist() == [0, 0] and summary["duplicate_rows"].tolist() == [0, 0]
    assert summary["top"].isna().all()


def test_a_column_that_is_called_as_those_of_the_questions(shared_connection):
    names = ["rows", "ROWS_", "value", "place", "groups"]
    store(shared_connection, "summed_odd", pa.table({name: [1.0, 1.0, 3.0] for name in names}))
    summary = query(shared_connection, "SUMMARIZE summed_odd")
    assert summary["column_name"].tolist() == names and summary["top"].tolist() == ["1.0 2, 3.0 1"] * len(names)
    assert summary["duplicate_rows"].tolist() == [1] * len(names)


def test_a_key_with_many_values(shared_connection):
    store(shared_connection, "summed_key", pa.table({"id": range(ROWS, 2 * ROWS)}))
    summary = query(shared_connection, "SUMMARIZE summed_key")
    assert summary["is_key"].tolist() == [True]
    assert summary["top"].tolist() == ["25000 1, 25001 1, 25002 1, 25003 1, 25004 1"]


def test_the_aggregate_behind_it(shared_connection, frame):
    values = "(VALUES ('x', 1.5), ('y', 2.5), ('x', NULL), (NULL, 2.5)) AS t(a, b)"
    found = query(shared_connection, f"SELECT value_counts(a, 2) AS a, value_counts(b, 1) AS b FROM {values}")
    assert found["a"].tolist() == ['{"distinct":2,"top":[["x",2],["y",1]]}']
    assert found["b"].tolist() == ['{"distinct":2,"top":[["2.5",2]]}']
    grouped = query(shared_connection, "SELECT flag, value_counts(t0, 1) AS f FROM summed GROUP BY flag ORDER BY flag")
    assert all(text.startswith('{"distinct":5,"top":[["a",') for text in grouped["f"])
    many = query(shared_connection, "SELECT value_counts(key, 1) AS f FROM summed")
    assert many["f"].tolist() == [f'{{"distinct":{ROWS},"top":[["{top_key(frame)}",2]]}}']
    bounded = query(shared_connection, "SELECT value_counts(key, 1, 10000) AS f, value_counts(t0, 1, 5) AS g FROM summed")
    assert bounded["f"].isna().all() and bounded["g"].notna().all()


def top_key(frame):
    return min(frame["key"].tail(100))


@pytest.mark.parametrize(
    "call, said",
    [
        ("value_counts(1)", "a value, how many are wanted"),
        ("value_counts(1, 0)", "from 1 to 2000 values"),
        ("value_counts(1, 5, 0)", "at least 1 value"),
        ("value_counts(DISTINCT 1, 5)", "DISTINCT"),
    ],
)
def test_the_aggregate_says_what_it_needs(shared_connection, call, said):
    with pytest.raises(Exception, match=said):
        query(shared_connection, f"SELECT {call} FROM (VALUES (1)) AS t(a)")
