"""Pipelines over random rows, beside scikit-learn and pandas; over any number of shards; and as the SQL that they show.

`MILLPOND_SEED=N` runs the rows of one seed again, `MILLPOND_SEEDS=N` those of so many. The name of a test has its seed.
"""

import json
import subprocess

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import BINARY, SEED, SEEDS
from pipelines import applied, equal, query, run, store
from random_rows import numbers_of, rows_of
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, Normalizer, RobustScaler, StandardScaler, TargetEncoder

EACH_SEED = range(int(SEEDS)) if SEED is None else [int(SEED)]
NUMBERS = ["dirty", "skewed", "short", "whole", "money", "constant", "empty"]
PARTS = ["year", "quarter", "month", "week", "day", "weekday", "day_of_year", "days"]


@pytest.fixture(scope="module")
def connection(shared_connection):
    return shared_connection


@pytest.fixture(params=EACH_SEED, ids=lambda seed: f"seed={seed}")
def rows(request, connection):
    """Random rows in the table `random`."""
    table = rows_of(request.param)
    store(connection, "random", table)
    return table


def finite(values):
    """What may be learned from."""
    return np.where(np.isfinite(values), values, np.nan)


def imputed(values, strategy):
    known = finite(values)
    if np.isnan(known).all():
        return values
    fill = SimpleImputer(strategy=strategy).fit(known[:, None]).statistics_[0]
    return np.where(np.isnan(values), fill, values)


def scaled(values, scaler):
    known = finite(values)
    if np.isnan(known).all():
        return values
    moved = scaler.fit(known[:, None]).transform(known[:, None])[:, 0]
    return np.where(np.isinf(values), values, moved)


def clipped(values, limits):
    known = finite(values)
    return values if np.isnan(known).all() else np.clip(values, *limits(known))


def by_quartiles(known):
    low, high = np.nanquantile(known, [0.25, 0.75])
    return low - 0.5 * (high - low), high + 0.5 * (high - low)


def by_deviation(known):
    return np.nanmean(known) - 0.8 * np.nanstd(known), np.nanmean(known) + 0.8 * np.nanstd(known)


def logarithm(values):
    return np.log1p(values, where=values > -1, out=np.full_like(values, np.nan))


def binned(values, edges):
    return np.where(np.isnan(values), np.nan, np.searchsorted(edges, values, side="right"))


# What a step does, and how to do it with the values of one column.
STEPS = {
    "mean": (lambda names: {"impute": {"columns": names, "strategy": "mean"}}, lambda v: imputed(v, "mean")),
    "median": (lambda names: {"impute": {"columns": names, "strategy": "median"}}, lambda v: imputed(v, "median")),
    "standard": (lambda names: {"standardize": names}, lambda v: scaled(v, StandardScaler())),
    "min_max": (lambda names: {"min_max": names}, lambda v: scaled(v, MinMaxScaler())),
    "robust": (lambda names: {"robust": names}, lambda v: scaled(v, RobustScaler())),
    "fixed": (lambda names: {"clip": {"columns": names, "lower": -1.5, "upper": 2}}, lambda v: np.clip(v, -1.5, 2)),
    "quantiles": (
        lambda names: {"clip": {"columns": names, "quantiles": [0.25, 0.75]}},
        lambda v: clipped(v, lambda known: np.nanquantile(known, [0.25, 0.75])),
    ),
    "iqr": (lambda names: {"clip": {"columns": names, "iqr": 0.5}}, lambda v: clipped(v, by_quartiles)),
    "deviations": (lambda names: {"clip": {"columns": names, "deviations": 0.8}}, lambda v: clipped(v, by_deviation)),
    "log": (lambda names: {"log": names}, logarithm),
    "edges": (lambda names: {"bin": {"columns": names, "edges": [-1, 0, 2]}}, lambda v: binned(v, [-1, 0, 2])),
}


def test_numbers_become_what_scikit_learn_makes_of_them(connection, rows):
    steps, made = [], {}
    for word, (step, _) in STEPS.items():
        copies = {f"{name}_{word}": name for name in NUMBERS}
        steps += [{"derive": copies}, step(list(copies))]
        made |= {copy: (name, word) for copy, name in copies.items()}
    steps.append({"select": ["id", *made]})
    out, _ = run(connection, "random_numbers", steps, source="random")
    view = applied(connection, "random_numbers", "random")
    assert list(out) == list(view) == ["id", *made]
    for copy, (name, word) in made.items():
        values = numbers_of(rows, name)
        with np.errstate(all="ignore"):
            expected = STEPS[word][1](values)
        # Means differ by rounding, which is all that there is where all values are equal.
        floor = 0.0 if np.isnan(finite(values)).all() else 1e-14 * np.nanmax(np.abs(finite(values)))
        equal(out[copy], expected, floor, what=copy)
        equal(view[copy], out[copy], floor, what=f"{copy} of the view")


def words_of(table, name):
    return pd.Series(table[name].to_pylist(), dtype=object)


def test_words_and_rows_become_what_pandas_makes_of_them(connection, rows):
    steps = [
        {"derive": {"order": "word", "share": "word", "shouted": "word", "short_word": "word", "class": "whole"}},
        {"derive": {"mode": "word", "fill": "word", "whole_mode": "whole", "sum": "coalesce(whole, 0) * 2 + id"}},
        {"trim": ["short_word"]},
        {"replace": {"columns": ["shouted"], "values": {"Zürich": "ZH", "": None}, "others": "else"}},
        {"ordinal": {"columns": ["order", "class"]}},
        {"frequency": ["share"]},
        {"impute": {"columns": ["mode", "whole_mode"], "strategy": "mode"}},
        {"impute": {"columns": ["fill"], "strategy": "constant", "value": 'it\'s "gone"'}},
        {"derive": {"grouped": "money"}},
        {"impute": {"columns": ["grouped"], "strategy": "mean", "by": ["word", "flag"], "indicator": True}},
        {"date_parts": {"columns": ["day", "moment"], "parts": PARTS, "since": "2020-01-01"}},
        {"date_parts": {"columns": ["moment"], "parts": ["hour", "minute"]}},
        {"one_hot": {"columns": ["word", "no_word", "flag"]}},
    ]
    out, _ = run(connection, "random_words", steps, source="random")
    pd.testing.assert_frame_equal(applied(connection, "random_words", "random"), out)
    word, whole = words_of(rows, "word"), words_of(rows, "whole")
    known = sorted(word.dropna().unique())
    replaced = word.map(lambda value: {"Zürich": "ZH", "": None}.get(value, "else"), na_action="ignore")
    assert same(out["shouted"], replaced)
    assert same(out["short_word"], word.map(lambda value: value.strip(" "), na_action="ignore"))
    assert same(out["fill"], word.map(lambda value: 'it\'s "gone"' if value is None else value))
    equal(out["order"], word.map(known.index, na_action="ignore").fillna(-1))
    equal(out["class"], whole.map(sorted(whole.dropna().unique()).index, na_action="ignore").fillna(-1))
    equal(out["share"], word.map(word.value_counts() / len(word)).fillna(0))
    # Of several that are as frequent, the least.
    for made, values in [("mode", word), ("whole_mode", whole)]:
        assert same(out[made], values.where(values.notna(), mode_of(values)))
    equal(out["sum"], whole.fillna(0).astype("float64") * 2 + np.arange(len(whole)))
    for category in known:
        equal(out[f"word_{category}"], word == category, what=category)
    assert [name for name in out if name.startswith("word_")] == [f"word_{category}" for category in known]
    assert not [name for name in out if name.startswith("no_word")]
    money = pd.Series(numbers_of(rows, "money"))
    groups = [word.fillna("?none"), words_of(rows, "flag").map(str)]
    equal(out["grouped"], money.fillna(money.groupby(groups).transform("mean")).fillna(money.mean()))
    equal(out["grouped_missing"], money.isna())
    for name in ["day", "moment"]:
        for part, expected in parts_of(pd.Series(pd.to_datetime(words_of(rows, name)))).items():
            if f"{name}_{part}" in out:
                equal(out[f"{name}_{part}"], expected, what=f"{name}_{part}")


def same(actual, expected):
    """The same texts or numbers, and missing where it is."""

    def values(series):
        return [None if pd.isna(value) else value for value in series]

    return values(actual) == values(expected)


def mode_of(values):
    counts = values.dropna().value_counts()
    return min(counts.index[counts == counts.max()]) if len(counts) else None


def parts_of(moments):
    of = moments.dt
    days = (of.normalize() - pd.Timestamp("2020-01-01")).dt.days
    return {
        "year": of.year, "quarter": of.quarter, "month": of.month, "week": of.isocalendar().week.astype("float64"),
        "day": of.day, "weekday": of.day_of_week, "day_of_year": of.day_of_year, "hour": of.hour, "minute": of.minute,
        "days": days,
    }  # fmt: skip


def test_texts_are_read_as_what_they_were_written_from(connection, rows):
    money, day, flag = words_of(rows, "money"), words_of(rows, "day"), words_of(rows, "flag")
    written = pa.table(
        {
            "id": rows["id"],
            "money": [None if value is None else f" € {value:,.2f} " for value in money],
            "comma": [None if value is None else f"{value:,.2f}".translate({44: 46, 46: 44}) for value in money],
            "whole": [None if value is None else f" {value} " for value in words_of(rows, "whole")],
            "day": [
                None if value is None else value.strftime(["%d.%m.%Y", "%Y-%m-%d"][at % 2]) for at, value in enumerate(day)
            ],
            "flag": [
                None if value is None else [["no", "N", "0"], ["Yes", "t", "1"]][value][at % 3]
                for at, value in enumerate(flag)
            ],
            "number": [None if value is None else str(value) for value in words_of(rows, "dirty")],
        }
    ).cast(
        pa.schema(
            [("id", pa.int64()), *[(name, pa.string()) for name in ["money", "comma", "whole", "day", "flag", "number"]]]
        )
    )
    store(connection, "random_texts", written)
    steps = [
        {"cast": {"columns": ["money"], "to": "number", "thousands": ",", "currency": True, "on_error": "fail"}},
        {"cast": {"columns": ["comma"], "to": "number", "thousands": ".", "decimal": ",", "on_error": "fail"}},
        {"cast": {"columns": ["whole"], "to": "integer", "on_error": "fail"}},
        {"cast": {"columns": ["number"], "to": "number", "on_error": "fail"}},
        {"cast": {"columns": ["day"], "to": "date", "formats": ["%d.%m.%Y", "%Y-%m-%d"], "on_error": "fail"}},
        {"cast": {"columns": ["flag"], "to": "boolean", "on_error": "fail"}},
    ]
    out, _ = run(connection, "random_texts", steps, source="random_texts", output=[{"table": "random_texts_out"}])
    for name in ["money", "comma"]:
        equal(out[name], numbers_of(rows, "money"), what=name)
    equal(out["whole"], numbers_of(rows, "whole"))
    np.testing.assert_array_equal(out["number"].astype("float64"), numbers_of(rows, "dirty"))
    assert same(out["flag"], flag)
    assert [None if pd.isna(value) else str(value)[:10] for value in out["day"]] == [value and str(value) for value in day]


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_rows_are_normalized_as_scikit_learn_does(connection, rows, norm):
    steps = [{"normalize_rows": {"columns": ["skewed", "whole", "money"], "norm": norm}}]
    out, _ = run(connection, "random_norm", steps, source="random")
    values = np.column_stack([numbers_of(rows, name) for name in ["skewed", "whole", "money"]])
    expected = np.where(np.isnan(values), np.nan, Normalizer(norm).fit_transform(np.nan_to_num(values)))
    equal(out[["skewed", "whole", "money"]], expected)


def test_rows_that_go_are_those_that_pandas_drops_and_none_is_lost(connection, rows):
    frame = rows.select(["id", "whole", "flag"]).to_pandas().astype({"whole": "Int64", "flag": "boolean"})
    source = {"query": "SELECT id, whole, flag FROM random UNION ALL SELECT id, whole, flag FROM random WHERE id % 3 = 0"}
    steps = [
        {"drop_duplicates": {}},
        {"drop_duplicates": {"key": ["whole"], "keep": "last", "order_by": ["id"]}},
        {"expect": {"columns": ["whole"], "range": [-4, None], "otherwise": "quarantine"}},
        {"expect": {"holds": "flag", "otherwise": "drop"}},
    ]
    kept = frame.drop_duplicates("whole", keep="last")
    aside = kept[(kept["whole"] < -4).fillna(False)]
    kept = kept[~(kept["whole"] < -4).fillna(False) & kept["flag"].fillna(True)]
    if kept.empty:
        pytest.skip("nothing would be left")
    out, report = run(connection, "random_rows", steps, source=source, rejects="random_aside")
    assert list(out["id"]) == list(kept["id"])
    said = dict(zip(report["step"] + ": " + report["what"], report["value"], strict=True))
    assert int(said["source: rows in"]) == len(frame) + (len(frame) + 2) // 3
    assert int(said["1 drop_duplicates: dropped: duplicate"]) == (len(frame) + 2) // 3
    assert int(said["output: rows out"]) == len(kept)
    if not aside.empty:
        assert list(query(connection, "SELECT id FROM random_aside ORDER BY id")["id"]) == list(aside["id"])


def test_the_mean_of_a_target_is_that_of_scikit_learn_and_out_of_fold_where_it_was_learned(connection, rows):
    step = {"target_encode": {"columns": ["word"], "target": "target", "smoothing": 5, "folds": 3}}
    out, _ = run(connection, "random_target", [step], source="random")
    view = applied(connection, "random_target", "random")
    word, target = words_of(rows, "word"), pd.Series(numbers_of(rows, "target"))
    known = word.notna() & target.notna()
    if known.sum() < 2:
        pytest.skip("nothing to learn from")
    theirs = TargetEncoder(smooth=5, target_type="continuous").fit(word[known].to_frame(), target[known])
    equal(view["word"], theirs.transform(word.fillna("nobody knows").to_frame())[:, 0])
    # Rows of no category show the mean of each fold.
    priors = out["word"][word.isna()].unique()
    if len(priors) == 3:
        for (category, value), group in out.groupby([word, out["word"]]):
            others = target[known & (word == category) & ~out.index.isin(group.index)]
            possible = (others.sum() + 5 * priors) / (len(others) + 5)
            assert np.isclose(possible, value, rtol=1e-9, atol=1e-12).any(), (category, value, possible)


def test_a_split_depends_on_the_key_alone(connection, rows):
    steps = [{"split": {"key": ["id"], "test": 0.3}}, {"select": ["id", "split"]}]
    out, _ = run(connection, "random_split", steps, source="random")
    assert applied(connection, "random_split", "random").equals(out)
    backwards = {"query": "SELECT id, 'another' AS x FROM random ORDER BY id DESC"}
    again, _ = run(connection, "random_split_again", steps, source=backwards)
    assert again.equals(out)
    if len(out) >= 300:
        assert 0.2 < (out["split"] == "test").mean() < 0.4


@pytest.mark.parametrize("count", [1, 3, 7])
def test_shards_change_nothing_but_rounding(connection, count):
    """Beside the same rows in one shard, and as a cache."""
    table = rows_of(5)
    store(connection, "in_one", table)
    partitions = f"partition_by = 'id', partitions = {count}"
    query(connection, f"CREATE OR REPLACE TABLE in_parts WITH ({partitions}) AS SELECT * FROM in_one")
    query(connection, "CREATE OR REPLACE VIEW cached AS SELECT * FROM in_one")
    query(connection, f"CACHE TABLE cached OPTIONS ('partition_by' 'id', 'partitions' '{count}')")
    for name in ["in_parts", "cached"]:
        shards = query(connection, f"SELECT rows FROM system.shards WHERE table_name = '{name}'")
        assert (len(shards), shards["rows"].sum()) == (count, table.num_rows), name
    steps = [
        {"derive": {"robust": "dirty", "bin": "dirty", "encoded": "word", "share": "word"}},
        {"target_encode": {"columns": ["encoded"], "target": "target"}},
        {"impute": {"columns": ["dirty", "skewed"], "strategy": "mean", "by": ["flag"]}},
        {"impute": {"columns": ["whole", "word"], "strategy": "mode"}},
        {"clip": {"columns": ["skewed"], "quantiles": [0.05, 0.9]}},
        {"robust": ["robust"]},
        {"bin": {"columns": ["bin"], "quantile": 5}},
        {"min_max": ["short"]},
        {"frequency": ["share"]},
        {"standardize": ["dirty", "skewed", "money"]},
        {"one_hot": {"columns": ["word"], "min_share": 0.05}},
        {"drop": ["empty", "no_word"]},
    ]
    learned, made = {}, {}
    for source in ["in_one", "in_parts", "cached"]:
        made[source], _ = run(connection, f"from_{source}", steps, source=source)
        fitted = query(
            connection, f"SELECT fitted FROM system.pipelines WHERE name = 'from_{source}' ORDER BY version DESC LIMIT 1"
        )
        learned[source] = json.loads(fitted["fitted"].iloc[0])
    query(connection, "UNCACHE TABLE cached")
    for source in ["in_parts", "cached"]:
        alike(learned[source], learned["in_one"])
        pd.testing.assert_frame_equal(made[source], made["in_one"], rtol=1e-12)


def test_folds_do_not_depend_on_shards(connection):
    store(connection, "in_one", rows_of(5))
    query(connection, "CREATE OR REPLACE TABLE in_parts WITH (partition_by = 'id', partitions = 7) AS SELECT * FROM in_one")
    steps = [{"standardize": ["short"]}, {"target_encode": {"columns": ["word"], "target": "target"}}]
    one, _ = run(connection, "folds_of_one", steps, source="in_one")
    other, _ = run(connection, "folds_of_seven", steps, source="in_parts")
    equal(other["word"], one["word"])


def alike(one, other, place=""):
    """Equal but for the rounding of numbers, and the order of groups."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for name in one:
            alike(one[name], other[name], f"{place}/{name}")
    elif isinstance(one, list):
        for left, right in zip(sorted(one, key=str), sorted(other, key=str), strict=True):
            alike(left, right, place)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-15), place
    else:
        assert one == other, place


def test_the_sql_that_is_shown_gives_the_same_rows(connection, cluster_url):
    store(connection, "source", rows_of(5))
    steps = [
        {"filter": "whole > -3 OR whole IS NULL"},
        {"expect": {"columns": ["word"], "one_of": ["Zürich", "a|b;c", "o'Brien", ""], "otherwise": "quarantine"}},
        {"impute": {"columns": ["money", "short"], "strategy": "median", "indicator": True}},
        {"derive": {"ratio": "money / (1 + abs(short))"}},
        {"standardize": ["ratio"]},
        {"bin": {"columns": ["skewed"], "quantile": 4}},
        {"one_hot": {"columns": ["word"]}},
    ]
    out, _ = run(connection, "shown", steps, source="source")
    command = [BINARY, "pipeline", "show", "shown", "--sql", "--url", cluster_url]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    by_hand = query(connection, shown).sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(by_hand, out, rtol=1e-12)
    query(connection, "DROP TABLE source")


MAGNITUDES = [1e-150, 1e-30, 1e-20, 1e20, 1e100, 1e150]


@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("word", ["mean", "median", "standard", "min_max", "robust", "iqr", "deviations", "log"])
def test_magnitudes(connection, magnitude, word):
    values = np.random.default_rng(1).normal(1, 1, 20) * magnitude
    store(connection, "magnitudes", pa.table({"id": range(21), "x": [*values, None]}))
    step, expected = STEPS[word]
    out, _ = run(connection, "magnitudes", [step(["x"])], source="magnitudes")
    with np.errstate(all="ignore"):
        equal(out["x"], expected(np.array([*values, np.nan])))


def test_a_view_has_the_very_values_that_were_learned_from(connection):
    values = np.random.default_rng(1).lognormal(0, 20, 100)
    store(connection, "exact", pa.table({"id": [1]} | {f"x{place}": [value] for place, value in enumerate(values)}))
    out, _ = run(connection, "exact", [{"standardize": ["x*"]}], source="exact")
    pd.testing.assert_frame_equal(applied(connection, "exact", "exact"), out, check_exact=True)


def test_any_quantile_is_that_of_numpy(connection):
    values = np.random.default_rng(1).normal(0, 1, 10)
    store(connection, "quantiles", pa.table({"id": range(10), "x": values}))
    out, _ = run(connection, "quantiles", [{"clip": {"columns": ["x"], "quantiles": [1 / 7, 2 / 3]}}], source="quantiles")
    equal(out["x"], np.clip(values, *np.quantile(values, [1 / 7, 2 / 3])))


@pytest.mark.parametrize("option", ["width", "quantile"])
def test_bins_of_a_constant_column_are_bin_0(connection, option):
    store(connection, "binned", pa.table({"id": range(5), "x": [2.5] * 5}))
    out, _ = run(connection, "binned", [{"bin": {"columns": ["x"], option: 3}}], source="binned")
    assert list(out["x"]) == [0] * 5


NAN = float("nan")


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"impute": {"columns": ["x"], "strategy": "mode"}}, {"x": [1, 1, 2, 1, 1]}),
        ({"bin": {"columns": ["x"], "edges": [1.5]}}, {"x": [0, 0, 1, NAN, NAN]}),
        ({"clip": {"columns": ["x"], "upper": 1.5}}, {"x": [1, 1, 1.5, NAN, NAN]}),
        ({"expect": {"columns": ["x"], "not_null": True, "otherwise": "drop"}}, {"x": [1, 1, 2]}),
        ({"one_hot": {"columns": ["x"]}}, {"x_1": [1, 1, 0, 0, 0], "x_2": [0, 0, 1, 0, 0]}),
        ({"ordinal": {"columns": ["x"]}}, {"x": [0, 0, 1, -1, -1]}),
        ({"frequency": ["x"]}, {"x": [0.4, 0.4, 0.2, 0, 0]}),
        (
            {"normalize_rows": {"columns": ["x", "y"], "norm": "max"}},
            {"x": [1, 1, 1, NAN, NAN], "y": [1, 1, 0.5, 1, 1]},
        ),
        ({"expect": {"columns": ["x"], "range": [0, 9], "otherwise": "drop"}}, {"x": [1, 1, 2, NAN, NAN]}),
        ({"expect": {"columns": ["x"], "one_of": [1, 2], "otherwise": "drop"}}, {"x": [1, 1, 2, NAN, NAN]}),
        ({"cast": {"columns": ["x"], "to": "integer", "on_error": "reject"}}, {"x": [1, 1, 2, NAN, NAN]}),
        ({"log": ["x"]}, {"x": [np.log(2), np.log(2), np.log(3), NAN, NAN]}),
    ],
)
def test_nan_counts_as_missing(connection, step, expected):
    table = pa.table({"id": range(5), "x": pa.array([1, 1, 2, NAN, None], pa.float64()), "y": [1.0] * 5})
    store(connection, "missing", table)
    out, _ = run(connection, "missing", [step], source="missing")
    assert [name for name in out if name.startswith("x")] == [name for name in expected if name.startswith("x")]
    for name, values in expected.items():
        equal(out[name], values)


def test_infinite_values_are_not_learned_from(connection):
    infinite = pa.table({"id": range(5), "x": [float("inf"), float("inf"), 1.0, -float("inf"), None]})
    store(connection, "infinite", infinite)
    for word in ["mean", "median", "standard", "min_max", "robust"]:
        step, expected = STEPS[word]
        out, _ = run(connection, "infinite", [step(["x"])], source="infinite")
        equal(out["x"], expected(numbers_of(infinite, "x")), what=word)


def test_the_mode_is_not_infinite(connection):
    store(connection, "infinite", pa.table({"id": range(4), "x": [float("inf"), float("inf"), 1.0, None]}))
    out, _ = run(connection, "infinite", [{"impute": {"columns": ["x"], "strategy": "mode"}}], source="infinite")
    assert out["x"].iloc[3] == 1.0


def test_the_mode_of_large_numbers_is_exact(connection):
    large = 2**53 + 1
    store(connection, "large", pa.table({"id": range(3), "x": [large, large, None]}))
    run(connection, "large", [{"impute": {"columns": ["x"], "strategy": "mode"}}], source="large")
    assert query(connection, "SELECT min(x) AS x FROM large_out")["x"].iloc[0] == large


def test_numbers_become_truth_values(connection):
    store(connection, "flags", pa.table({"id": range(3), "x": [1.0, 0.0, None]}))
    out, _ = run(connection, "flags", [{"cast": {"columns": ["x"], "to": "boolean"}}], source="flags")
    assert same(out["x"], [True, False, None])


def test_all_blanks_are_trimmed(connection):
    store(connection, "blanks", pa.table({"id": range(4), "x": ["\ta ", "b\r\n", "\u00a0c", "\t"]}))
    out, _ = run(connection, "blanks", [{"trim": ["x"]}], source="blanks")
    assert list(out["x"]) == ["a", "b", "c", ""]


def test_zero_is_one_category(connection):
    store(connection, "zeros", pa.table({"id": range(3), "x": [0.0, -0.0, 1.0]}))
    out, _ = run(connection, "zeros", [{"ordinal": {"columns": ["x"]}}], source="zeros")
    assert list(out["x"]) == [0, 0, 1]
