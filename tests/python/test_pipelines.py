"""Pipelines: every step beside pandas and scikit-learn on random data, the same values as a view, and what goes wrong."""

import json

import adbc_driver_flightsql.dbapi as flight_sql
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pipelines import applied, equal, query, run, store, text
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

ROWS = 500
WORDS = ["Zürich", "東京", "", "o'Brien", "São Paulo", 'say "hi"', "rare"]


@pytest.fixture(scope="module")
def connection(shared_connection):
    return shared_connection


@pytest.fixture(scope="module")
def rows(connection):
    """Random rows with everything that data has, in the table `raw`."""
    random = np.random.default_rng(7)
    numbers = random.normal(50_000, 20_000, ROWS)
    numbers[random.random(ROWS) < 0.1] = np.nan
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "income": numbers,
            "age": pd.array(np.where(random.random(ROWS) < 0.1, None, random.integers(18, 90, ROWS)), dtype="Int64"),
            "spend": random.exponential(100, ROWS),
            "constant": np.full(ROWS, 0.1),
            "empty": np.full(ROWS, np.nan),
            "city": random.choice(WORDS, ROWS, p=[0.3, 0.25, 0.1, 0.15, 0.1, 0.09, 0.01]),
            "target": random.integers(0, 2, ROWS).astype("float64"),
            "day": pd.to_datetime("2020-02-27") + pd.to_timedelta(random.integers(0, 900, ROWS), unit="D"),
        }
    )
    frame.loc[random.random(ROWS) < 0.05, "city"] = None
    table = pa.Table.from_pandas(frame, preserve_index=False)
    # Half of the missing numbers are NaN, and the others null.
    income = [None if np.isnan(value) and place % 2 else value for place, value in enumerate(numbers)]
    table = table.set_column(1, "income", pa.array(income, pa.float64(), from_pandas=False))
    table = table.set_column(table.schema.get_field_index("day"), "day", table["day"].cast(pa.date32()))
    with connection.cursor() as cursor:
        cursor.adbc_ingest("raw", table, mode="replace")
    return frame


@pytest.mark.parametrize(("strategy", "theirs"), [("mean", "mean"), ("median", "median"), ("mode", "most_frequent")])
def test_impute(connection, rows, strategy, theirs):
    out, report = run(
        connection, f"impute_{strategy}", [{"impute": {"columns": ["income", "age"], "strategy": strategy, "indicator": True}}]
    )
    numbers = rows[["income", "age"]].astype("float64")
    expected = SimpleImputer(strategy=theirs, add_indicator=True).fit_transform(numbers)
    equal(out[["income", "age", "income_missing", "age_missing"]], expected)
    missing = report[(report["column"] == "income") & (report["what"] == "missing")]["value"].iloc[0]
    assert float(missing) == rows["income"].isna().sum()
    pd.testing.assert_frame_equal(applied(connection, f"impute_{strategy}"), out)


def test_impute_by_group(connection, rows):
    out, _ = run(
        connection, "impute_by", [{"impute": {"columns": ["income"], "strategy": "mean", "by": ["city", "target"]}}]
    )
    means = rows.groupby(["city", "target"], dropna=False)["income"].transform("mean")
    # A group without a value has that of all rows.
    equal(out["income"], rows["income"].fillna(means).fillna(rows["income"].mean()))
    pd.testing.assert_frame_equal(applied(connection, "impute_by"), out)


def test_impute_a_constant(connection, rows):
    steps = [{"impute": {"columns": ["city"], "strategy": "constant", "value": "nowhere"}}]
    out, _ = run(connection, "impute_constant", steps)
    assert list(out["city"]) == list(rows["city"].fillna("nowhere"))


@pytest.mark.parametrize(
    ("step", "scaler"), [("standardize", StandardScaler()), ("min_max", MinMaxScaler()), ("robust", RobustScaler())]
)
def test_scale(connection, rows, step, scaler):
    columns = ["income", "age", "spend", "constant"]
    out, _ = run(connection, step, [{step: [*columns, "empty"]}])
    equal(out[columns], scaler.fit_transform(rows[columns].astype("float64")))
    assert out["empty"].isna().all()
    pd.testing.assert_frame_equal(applied(connection, step), out)


def test_log_and_clip_and_rows(connection, rows):
    steps = [
        {"log": ["spend"]},
        {"clip": {"columns": ["income"], "quantiles": [0.05, 0.9]}},
        {"clip": {"columns": ["age"], "iqr": 0.1}},
        {"normalize_rows": {"columns": ["constant", "target"], "norm": "l1"}},
    ]
    out, _ = run(connection, "shapes", steps)
    equal(out["spend"], np.log1p(rows["spend"]))
    equal(out["income"], rows["income"].clip(*np.nanquantile(rows["income"], [0.05, 0.9])))
    low, high = np.nanquantile(rows["age"].astype("float64"), [0.25, 0.75])
    width = 0.1 * (high - low)
    equal(out["age"], rows["age"].astype("float64").clip(low - width, high + width))
    equal(out[["constant", "target"]], Normalizer("l1").fit_transform(rows[["constant", "target"]]))
    pd.testing.assert_frame_equal(applied(connection, "shapes"), out)


@pytest.mark.parametrize(("option", "theirs"), [("width", "uniform"), ("quantile", "quantile")])
def test_bin(connection, rows, option, theirs):
    out, _ = run(connection, f"bin_{option}", [{"bin": {"columns": ["spend"], option: 7}}])
    method = {"quantile_method": "linear"} if theirs == "quantile" else {}
    bins = KBinsDiscretizer(7, encode="ordinal", strategy=theirs, subsample=None, **method)
    equal(out["spend"], bins.fit_transform(rows[["spend"]])[:, 0])


def test_categories(connection, rows):
    steps = [
        {"derive": {"other": "city", "share": "city"}},
        {"one_hot": {"columns": ["city"]}},
        {"ordinal": {"columns": ["other"]}},
        {"frequency": ["share"]},
    ]
    out, _ = run(connection, "categories", steps)
    known = sorted(word for word in rows["city"].dropna().unique())
    encoder = OneHotEncoder(categories=[known], handle_unknown="ignore", sparse_output=False)
    equal(out[[f"city_{word}" for word in known]], encoder.fit_transform(rows[["city"]].fillna("?")))
    ordinal = OrdinalEncoder(categories=[known], handle_unknown="use_encoded_value", unknown_value=-1)
    equal(out["other"], ordinal.fit_transform(rows[["city"]].fillna("?"))[:, 0])
    equal(out["share"], rows["city"].map(rows["city"].value_counts() / ROWS).fillna(0))
    pd.testing.assert_frame_equal(applied(connection, "categories"), out)


def test_rare_categories_are_grouped(connection, rows):
    out, _ = run(connection, "rare", [{"one_hot": {"columns": ["city"], "min_share": 0.05}}])
    shares = rows["city"].value_counts() / rows["city"].notna().sum()
    frequent = sorted(shares[shares >= 0.05].index)
    assert [name for name in out if name.startswith("city_")] == [f"city_{word}" for word in [*frequent, "other"]]
    equal(out["city_other"], (rows["city"].notna() & ~rows["city"].isin(frequent)).astype("int64"))


def test_target_encoding(connection, rows):
    steps = [{"target_encode": {"columns": ["city"], "target": "target", "smoothing": 10, "folds": 4}}]
    out, _ = run(connection, "encoded", steps)
    known = rows["city"].notna()
    theirs = TargetEncoder(smooth=10, target_type="continuous").fit(rows.loc[known, ["city"]], rows.loc[known, "target"])
    view = applied(connection, "encoded")
    # Rows that come later get the mean over all rows; null is a category that nobody knows.
    equal(view.loc[known, "city"], theirs.transform(rows.loc[known, ["city"]])[:, 0])
    # Those that it was learned from get that of other rows: several values for one category, all near it.
    pairs = pd.DataFrame({"word": rows["city"], "value": out["city"]}).dropna()
    assert pairs.groupby("word")["value"].nunique().max() == 4
    assert np.abs(out.loc[known, "city"] - view.loc[known, "city"]).max() < 0.2


def test_parts_of_dates(connection, rows):
    parts = ["year", "quarter", "month", "week", "day", "weekday", "day_of_year", "days"]
    out, _ = run(connection, "dates", [{"date_parts": {"columns": ["day"], "parts": parts, "since": "2020-01-01"}}])
    day = rows["day"].dt
    expected = {
        "year": day.year, "quarter": day.quarter, "month": day.month, "week": day.isocalendar().week, "day": day.day,
        "weekday": day.weekday, "day_of_year": day.dayofyear, "days": (rows["day"] - pd.Timestamp("2020-01-01")).dt.days,
    }  # fmt: skip
    for part in parts:
        equal(out[f"day_{part}"], expected[part])


def test_split(connection, rows):
    out, _ = run(connection, "parts", [{"split": {"key": ["id"], "test": 0.25}}])
    assert set(out["split"]) == {"train", "test"}
    assert 0.15 < (out["split"] == "test").mean() < 0.35
    pd.testing.assert_frame_equal(applied(connection, "parts"), out)


def test_several_steps_share_a_pass_and_follow_each_other(connection, rows):
    steps = [
        {"impute": {"columns": ["income", "age"], "strategy": "median"}},
        {"derive": {"ratio": "income / age"}},
        {"standardize": ["ratio", "income"]},
        {"min_max": ["ratio"]},
        {"select": ["id", "income", "ratio"]},
    ]
    out, _ = run(connection, "chain", steps)
    filled = rows[["income", "age"]].astype("float64")
    filled = filled.fillna(filled.median())
    ratio = filled["income"] / filled["age"]
    equal(out["income"], StandardScaler().fit_transform(filled[["income"]])[:, 0])
    equal(out["ratio"], (ratio - ratio.min()) / (ratio.max() - ratio.min()))
    pd.testing.assert_frame_equal(applied(connection, "chain"), out)


MESSY = [
    (1, " 1,234.5 ", "31-12-2014", "yes", "a"),
    (1, " 1,234.5 ", "31-12-2014", "yes", "a"),
    (2, "€ 99", "2014-12-31", "N", "b"),
    (3, "many", "31-02-2014", "perhaps", "c"),
    (4, "", None, None, "d"),
    (5, "7", "01-01-2015", "1", "a"),
]


@pytest.fixture(scope="module")
def messy(connection):
    columns = dict(zip(["id", "amount", "day", "flag", "key"], zip(*MESSY, strict=True), strict=True))
    with connection.cursor() as cursor:
        cursor.adbc_ingest("messy", pa.table(columns), mode="replace")


def test_types(connection, messy):
    steps = [
        {"drop_duplicates": {}},
        {"cast": {"columns": ["amount"], "to": "number", "thousands": ",", "currency": True}},
        {"cast": {"columns": ["day"], "to": "date", "formats": ["%d-%m-%Y", "%Y-%m-%d"]}},
        {"cast": {"columns": ["flag"], "to": "boolean"}},
    ]
    out, report = run(connection, "types", steps, source="messy")
    assert [None if pd.isna(value) else value for value in out["amount"]] == [1234.5, 99, None, None, 7]
    assert [str(value) for value in out["day"]] == ["2014-12-31", "2014-12-31", "None", "None", "2015-01-01"]
    assert list(out["flag"]) == [True, False, None, None, True]
    failed = report[report["what"] == "failed"].set_index("column")["value"].astype(float)
    assert dict(failed) == {"amount": 1, "day": 1, "flag": 1}
    dropped = report[report["what"] == "dropped: duplicate"]["value"]
    assert list(dropped) == ["1"]


def test_rows_that_become_equal_are_one_and_each_step_counts_its_own(connection):
    rows = [(1, " a", None), (1, " a", None), (1, "a", None), (2, "b", 0.0), (2, "b ", -0.0), (3, None, float("nan"))]
    rows += [(3, None, float("nan")), (4, "c", -1.0), (4, "c ", -1.0)]
    columns = dict(zip(["id", "word", "amount"], zip(*rows, strict=True), strict=True))
    store(connection, "equal_soon", pa.table(columns))
    steps = [
        {"drop_duplicates": {}},
        {"trim": ["word"]},
        {"expect": {"columns": ["amount"], "range": [0, None], "otherwise": "quarantine"}},
        {"drop_duplicates": {}},
    ]
    out, report = run(connection, "equal_soon", steps, source="equal_soon", rejects="equal_aside")
    assert list(out["id"]) == [1, 2, 3]
    assert list(out["word"].fillna("none")) == ["a", "b", "none"]
    said = dict(zip(report["step"] + ": " + report["what"], report["value"], strict=True))
    assert (said["source: rows in"], said["output: rows out"]) == ("9", "3")
    assert said["1 drop_duplicates: dropped: duplicate"] == "2"
    assert said["4 drop_duplicates: dropped: duplicate"] == "2"
    assert said["3 expect: quarantined: amount is from 0 to ..."] == "2"


@pytest.mark.parametrize("mode", ["direct", "staged"])
@pytest.mark.parametrize(("rows", "different"), [(1000, 1000), (1000, 900), (1000, 7), (0, 0)], ids=["none", "few", "most", "no rows"])
def test_equal_rows_are_one_however_many_there_are(connection, rows, different, mode):
    numbers = np.arange(max(rows, 1)) % max(different, 1)
    words = [None if number % 5 == 0 else f"word {number % 3}" for number in numbers]
    amounts = [float("nan") if number % 4 == 0 else -0.0 if number % 4 == 1 else float(number) for number in numbers]
    columns = {"id": pa.array(numbers, pa.int64()), "word": pa.array(words, pa.string()), "amount": pa.array(amounts, pa.float64())}
    store(connection, "equal_rows", pa.table(columns))
    if not rows:
        query(connection, "DELETE FROM equal_rows")
    steps = [{"drop_duplicates": {}}, {"min_max": ["id"]}] if rows else [{"drop_duplicates": {}}]
    query(connection, f"SET execution_mode = '{mode}'")
    out, report = run(connection, "equal_rows", steps, source="equal_rows")
    query(connection, "RESET execution_mode")
    assert len(out) == different
    if rows:
        np.testing.assert_allclose(np.sort(out["id"]), np.arange(different) / (different - 1))
    said = dict(zip(report["step"] + ": " + report["what"], report["value"], strict=True))
    assert (said["source: rows in"], said["output: rows out"]) == (str(rows), str(different))
    assert said.get("1 drop_duplicates: dropped: duplicate", "0") == str(rows - different)


def test_rows_that_are_set_aside_are_all_there(connection, messy):
    steps = [
        {"drop_duplicates": {"key": ["id"], "order_by": ["day"]}},
        {"cast": {"columns": ["amount"], "to": "number", "thousands": ",", "currency": True, "on_error": "reject"}},
        {"expect": {"columns": ["key"], "one_of": ["a", "b", "c"], "otherwise": "quarantine"}},
        {"filter": "id < 5"},
    ]
    out, report = run(connection, "aside", steps, source="messy", rejects="put_aside")
    assert list(out["id"]) == [1, 2]
    rejected = query(connection, "SELECT step, how, id, amount FROM put_aside ORDER BY id")
    assert rejected.values.tolist() == [["2 cast", "rejected", 3, "many"], ["3 expect", "quarantined", 4, ""]]
    said = dict(zip(report["step"] + ": " + report["what"], report["value"], strict=True))
    assert (said["source: rows in"], said["output: rows out"]) == ("6", "2")
    assert said["1 drop_duplicates: dropped: duplicate"] == "1"
    assert said["4 filter: dropped: id < 5"] == "1"


def test_expectations(connection, messy):
    def refused(expect, steps=()):
        spec = {"name": "e", "source": {"table": "messy"}, "steps": [*steps, {"expect": expect}], "output": [{"table": "never"}]}
        with pytest.raises(flight_sql.Error) as error:
            query(connection, f"RUN PIPELINE {text(json.dumps(spec))}")
        return str(error.value)

    assert "id is unique; 2 times" in refused({"columns": ["id"], "unique": True})
    assert "day is not null; 1 times" in refused({"columns": ["day"], "not_null": True})
    assert "id is from 2 to ...; 2 times" in refused({"columns": ["id"], "range": [2, None]})
    assert "like ^[ab]$; 2 times" in refused({"columns": ["key"], "matches": "^[ab]$"})
    assert "10 to ... rows" in refused({"rows": [10, None]})
    with pytest.raises(flight_sql.Error):
        query(connection, "SELECT * FROM never")
    _, report = run(
        connection, "warned", [{"expect": {"holds": "id <> 3", "otherwise": "warn"}}], source="messy"
    )
    assert any("id <> 3" in value for value in report[report["what"] == "warning"]["value"])


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"standardise": ["id"]}], "did you mean 'standardize'?"),
        ([{"standardize": ["amont"]}], "did you mean 'amount'?"),  # misspelt
        ([{"standardize": ["amount"]}], "'amount' is text"),
        ([{"derive": {"x": "idd + 1"}}], "did you mean 'id'?"),
        ([{"derive": {"x": "id +"}}], "no SQL expression"),
        ([{"rename": {"id": "key"}}], "two columns 'key'"),
        ([{"filter": "id > 100"}], "no row is left"),
        ([{"impute": {"columns": ["id"], "strategy": "constant"}}], "needs a value"),
        ([{"drop": "all"}], "no column would be left"),
        ([{"clip": {"columns": ["id"]}}], "limits in one way"),
    ],
)
def test_mistakes(connection, messy, steps, said):
    spec = {"name": "wrong", "source": {"table": "messy"}, "steps": steps, "output": [{"table": "never"}]}
    with pytest.raises(flight_sql.Error) as error:
        query(connection, f"RUN PIPELINE {text(json.dumps(spec))}")
    assert said in str(error.value)
    left = query(connection, "SELECT table_name FROM system.tables WHERE table_name LIKE '\\_\\_pipeline%'")
    assert left.empty, left


def test_versions(connection, messy):
    for _ in range(2):
        run(connection, "versions", [{"standardize": ["id"]}], source="messy")
    known = query(connection, "SELECT version, rows_in, rows_out, transform FROM system.pipelines WHERE name = 'versions'")
    assert list(known["version"]) == [1, 2]
    assert (known["rows_in"].iloc[0], known["rows_out"].iloc[0]) == (6, 6)
    assert "FROM source" in known["transform"].iloc[0]
    query(connection, "APPLY PIPELINE versions VERSION 1 TO messy AS first_version")
    query(connection, "RUN PIPELINE versions")
    query(connection, "DROP PIPELINE versions")
    with pytest.raises(flight_sql.Error, match="no pipeline"):
        query(connection, "RUN PIPELINE versions")
