"""What a pipeline has learned leaves a cluster as JSON and comes into another, the same to the last digit."""

import json
import os
import subprocess

import adbc_driver_flightsql.dbapi as flight_sql
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import BINARY, REPOSITORY, started
from pipelines import query, run, store, text, versions

ROWS = 400
STEPS = [
    {"derive": {"ratio": "income / (1 + spend)", "where": "city"}},
    {"impute": {"columns": ["income"], "strategy": "mean", "by": ["city"], "indicator": True}},
    {"impute": {"columns": ["ratio"], "strategy": "median"}},
    {"clip": {"columns": ["spend"], "quantiles": [0.03, 0.97]}},
    {"filter": "spend > 1"},
    {"target_encode": {"columns": ["where"], "target": "target"}},
    {"bin": {"columns": ["age"], "quantile": 5}},
    {"standardize": ["income", "ratio"]},
    {"robust": ["spend"]},
    {"one_hot": {"columns": ["city"]}},
]


@pytest.fixture(scope="module")
def connection(shared_connection):
    return shared_connection


def rows():
    random = np.random.default_rng(11)
    income = random.lognormal(10, 1, ROWS)
    income[::7] = np.nan
    return pa.Table.from_pandas(
        pd.DataFrame(
            {
                "id": np.arange(ROWS),
                "income": income,
                "spend": random.exponential(100, ROWS),
                "age": random.integers(18, 90, ROWS),
                "city": random.choice(["Zürich", "o'Brien", 'say "hi"', "東京"], ROWS),
                "target": random.random(ROWS),
                "note": random.choice(["a", None], ROWS),
            }
        ),
        preserve_index=False,
    )


def applied(connection, name):
    query(connection, f"APPLY PIPELINE {name} TO carried_rows AS carried_view")
    return query(connection, "SELECT * FROM carried_view ORDER BY id")


def known(connection, name):
    columns = "spec, fitted, source, rows_in, rows_out, created_at, transform"
    return query(connection, f"SELECT {columns} FROM system.pipelines WHERE name = '{name}' ORDER BY version").iloc[-1]


def exported(connection, name, more=""):
    return query(connection, f"EXPORT PIPELINE {name} {more}")["pipeline"].iloc[0]


def imported(connection, document):
    return query(connection, f"IMPORT PIPELINE {text(document)}").iloc[0].to_dict()


@pytest.fixture(scope="module")
def document(connection):
    store(connection, "carried_rows", rows())
    run(connection, "carried", STEPS, source="carried_rows")
    return exported(connection, "carried")


def test_another_cluster_gives_the_same_values(connection, document):
    here = applied(connection, "carried")
    with started("--executors", "1") as there, flight_sql.connect(there["flight_sql"], autocommit=True) as other:
        store(other, "carried_rows", rows())
        made = imported(other, document)
        assert made == {"name": "carried", "version": 1, "rows_in": ROWS, "rows_out": known(connection, "carried")["rows_out"]}
        pd.testing.assert_frame_equal(applied(other, "carried"), here, check_exact=True)
        pd.testing.assert_series_equal(known(other, "carried"), known(connection, "carried"))
        assert exported(other, "carried") == document


def test_what_was_dropped_comes_back(connection, document):
    here, before = applied(connection, "carried"), known(connection, "carried")
    query(connection, "DROP PIPELINE carried")
    assert imported(connection, document)["version"] == 1
    pd.testing.assert_frame_equal(applied(connection, "carried"), here, check_exact=True)
    pd.testing.assert_series_equal(known(connection, "carried"), before)


def test_a_name_that_is_there_gets_a_new_version(connection, document):
    count = len(versions(connection, "carried"))
    assert imported(connection, document)["version"] == count + 1
    first = exported(connection, "carried", "VERSION 1")
    assert first == document and versions(connection, "carried")[-1] == count + 1
    # It is run again as any other.
    query(connection, "RUN PIPELINE carried")
    assert versions(connection, "carried")[-1] == count + 2


def test_a_pipeline_that_counts_no_rows_and_learns_nothing(connection):
    query(connection, "CREATE OR REPLACE TABLE carried_none (id BIGINT, a DOUBLE, b TEXT)")
    steps = [{"impute": {"columns": ["a"], "strategy": "mean", "by": ["b"]}}, {"one_hot": {"columns": ["b"]}}]
    run(connection, "carried_none", steps, source="carried_none")
    imported(connection, exported(connection, "carried_none"))
    store(connection, "carried_some", pa.table({"id": [1, 2], "a": [0.1, None], "b": ["x", "y"]}))
    query(connection, "APPLY PIPELINE carried_none TO carried_some AS carried_view")
    assert query(connection, "SELECT a FROM carried_view ORDER BY id")["a"].fillna(-1).tolist() == [0.1, -1]


@pytest.fixture
def command(cluster):
    def run_it(*arguments, **more):
        environment = os.environ | {"MILLPOND_URL": cluster["flight_sql"]}
        return subprocess.run(
            [BINARY, "pipeline", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, **more
        )

    return run_it


def test_by_the_command(connection, document, command, tmp_path):
    shown = command("show", "carried", "--json", "--version", "1")
    assert shown.returncode == 0 and json.loads(shown.stdout) == json.loads(document)
    (tmp_path / "carried.json").write_text(shown.stdout)
    count = versions(connection, "carried")[-1]
    done = command("import", tmp_path / "carried.json")
    assert done.returncode == 0 and "carried" in done.stdout, done.stderr
    assert command("import", "-", input=shown.stdout).returncode == 0
    assert versions(connection, "carried")[-1] == count + 2
    for arguments, words in [
        (["import", tmp_path / "nowhere.json"], "nowhere.json"),
        (["import", "data/pipelines/marketing.yaml"], "this is no JSON"),
        (["show", "nobody", "--json"], "there is no pipeline 'nobody'"),
    ]:
        failed = command(*arguments)
        assert failed.returncode != 0 and words in failed.stderr


def changed(change):
    def apply(document):
        value = json.loads(document)
        change(value)
        return json.dumps(value)

    return apply


def without(step):
    def change(value):
        del value["fitted"][step]

    return changed(change)


def mean_of_income(value):
    return value["fitted"]["8 standardize"]["income"]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda document: "", ["this is no JSON"]),
        (lambda document: document[:-20], ["this is no JSON", "line"]),
        (lambda document: "name: p", ["this is no JSON", "pipeline show NAME --json"]),
        (lambda document: "[]", ["this is no exported pipeline"]),
        (lambda document: json.dumps(json.loads(document)["fitted"]), ["missing field `format`"]),
        (changed(lambda value: value.update(format=2)), ["has format 2", "reads 1"]),
        (changed(lambda value: value.pop("spec")), ["missing field `spec`"]),
        (changed(lambda value: value.update(more=1)), ["unknown field `more`"]),
        (changed(lambda value: value.update(rows_in="many")), ["this is no exported pipeline"]),
        (changed(lambda value: value.update(fitted=[1])), ["this is no exported pipeline"]),
        (changed(lambda value: value.update(spec="name: p")), ["the definition in 'spec' is wrong", "source"]),
        (changed(lambda value: value.update(spec=value["spec"].replace("robust", "robst"))), ["'robst'", "did you mean"]),  # misspelt
        (changed(lambda value: value.update(spec=value["spec"].replace('"robust"', '"min_max"'))), ["'9 robust'", "not in the definition"]),
        (changed(lambda value: value["fitted"]["0 source"]["*"].pop("columns")), ["does not say which columns"]),
        (without("8 standardize"), ["step 8 standardize has not learned the mean of 'income'"]),
        (changed(lambda value: mean_of_income(value).update(mean="1")), ["the mean of 'income' is not what step 8 standardize"]),
        (changed(lambda value: mean_of_income(value).update(mean=[["a", 1]])), ["the mean of 'income' is not what"]),
        (lambda document: document.replace('"mean": ', '"mean": 1e999, "old": '), ["the number 1e999 is too large"]),
    ],
)  # fmt: skip
def test_what_is_no_export_is_told_and_nothing_is_added(connection, document, broken, words):
    before = versions(connection, "carried")
    with pytest.raises(flight_sql.Error) as error:
        imported(connection, broken(document))
    for word in words:
        assert word in str(error.value)
    assert versions(connection, "carried") == before


def test_a_version_or_a_pipeline_that_is_not_there(connection, document):
    for name, words in [("carred", "did you mean 'carried'?"), ("carried VERSION 99", "it has")]:  # misspelt
        with pytest.raises(flight_sql.Error, match=words.replace("?", r"\?")):
            exported(connection, name)
