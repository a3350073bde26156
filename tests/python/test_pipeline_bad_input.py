"""What is wrong with a pipeline or its source is said in words that help, and nothing is half written."""

import json

import adbc_driver_flightsql.dbapi as flight_sql
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import WIDE
from pipelines import apply, query, refused, run, spec_of, store, tables, text, versions

ODD = "a \"quoted\" näme, 日本 * | 'x'."
COLUMNS = 5_000


@pytest.fixture(scope="module")
def connection(shared_connection):
    store(
        shared_connection,
        "given",
        pa.table({"id": range(6), "amount": [1.5, 2.0, None, 4.0, 8.0, 9.0], "city": list("aabbcc")}),
    )
    return shared_connection


@pytest.fixture
def told(connection, tmp_path):
    """Runs a pipeline that cannot be, with a table and a file as outputs, and gives what is said; nothing may be written."""
    before = tables(connection)

    def run_it(steps=(), source="given", output=None):
        output = output or [{"table": "never"}, {"file": str(tmp_path / "never.parquet")}]
        said = refused(connection, "never", list(steps), source=source, output=output)
        assert tables(connection) == before
        assert not versions(connection, "never")
        assert not list(tmp_path.glob("never*"))
        return said

    yield run_it
    # What a defect leaves behind is not in the way of others.
    query(connection, "DROP TABLE IF EXISTS never")
    query(connection, "DROP TABLE IF EXISTS never_rejected")
    query(connection, "DROP PIPELINE IF EXISTS never")


def test_no_source(told, tmp_path):
    assert "table 'millpond.public.gven' not found" in told(source="gven")  # misspelt
    assert "no files found at" in told(source={"file": str(tmp_path / "none.csv")})
    assert "does not say its format" in told(source={"file": str(tmp_path / "none.xyz")})
    assert "needs one of table, query, file" in told(source={})


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"standardize": ["amuont"]}, ["there is no column 'amuont' here", "did you mean 'amount'?"]),  # misspelt
        ({"standardize": ["x*"]}, ["no column is like 'x*'"]),
        ({"standardize": ["city"]}, ["standardize needs numbers, and 'city' is text", "cast it first"]),
        ({"impute": {"columns": ["city"], "strategy": "mean"}}, ["impute needs numbers, and 'city' is text", "cast it"]),
        ({"log": ["city"]}, ["log needs numbers, and 'city' is text"]),
        ({"trim": ["amount"]}, ["trim needs texts, and 'amount' is number"]),
        ({"date_parts": {"columns": ["city"], "parts": ["year"]}}, ["needs dates, and 'city' is text", "cast it to date"]),
        ({"date_parts": {"columns": ["city"], "parts": ["yaer"]}}, ["did you mean 'year'?"]),  # misspelt
        ({"cast": {"columns": ["city"], "to": "number", "on_error": "fail"}}, ["city is number; 6 times it is not so"]),
        ({"cast": {"columns": ["city"], "to": "numbre"}}, ["did you mean 'number'?"]),  # misspelt
        ({"expect": {"columns": ["city"], "range": [0, 1]}}, ["range is about numbers, and 'city' is text"]),
        ({"expect": {"columns": ["amount"], "matches": "a"}}, ["matches is about texts, and 'amount' is number"]),
        ({"expect": {"not_null": True}}, ["it is not said of which columns", "add columns"]),
        ({"expect": {"columns": ["id"]}}, ["nothing is expected", "add not_null"]),
        ({"target_encode": {"columns": ["city"], "target": "city"}}, ["the target is a number", "'city' is text"]),
        ({"frobnicate": ["id"]}, ["there is no word 'frobnicate'", "standardize"]),
        ({"one_hot": {"columns": ["city"], "max": 3}}, ["there is no field 'max'", "max_categories"]),
        ({"clip": {"columns": ["id"], "quantiles": [0.9, 0.1]}}, ["[0.9, 0.1] are no quantiles", "the lesser first"]),
        ({"bin": {"columns": ["id"], "edges": [2, 1]}}, ["edges are numbers in order"]),
        ({"bin": {"columns": ["id"], "width": 1}}, ["from 2 to 1000 bins"]),
        ({"split": {"key": ["id"], "test": 2}}, ["share from 0 to 1"]),
        ({"split": {"key": ["id"], "test": 0.2, "column": "city"}}, ["there is a column 'city' already", "rename it"]),
        ({"rename": {"id": "city"}}, ["there would be two columns 'city'"]),
        ({"drop": "all"}, ["no column would be left"]),
        ({"filter": "id > 100"}, ["no row is left", "look at the steps that take rows out"]),
        ({"expect": {"holds": "id > 100", "otherwise": "drop"}}, ["no row is left", "6 dropped by step 1 expect"]),
        ({"drop_duplicates": {"key": ["city"]}}, ["rows with the same key are in no order", "order_by"]),
        ({"derive": {"x": "amount + cty"}}, ["did you mean 'city'?"]),  # misspelt
        ({"derive": {"x": "amount +"}}, ["no SQL expression"]),
        ({"derive": {"x": "(SELECT 1)"}}, ["is a query", "about one row"]),
        ({"derive": {"x": "nosuch(id)"}}, ["invalid function 'nosuch'"]),
        ({"select": "dates"}, ["no column would be left"]),
        ({"derive": {"x": "sum(id)"}}, ["about one row"]),
        ({"derive": {"x": "row_number() OVER ()"}}, ["about one row"]),
        ({"filter": "amount"}, ["filter", "condition"]),
        ({"filter": "city > 5"}, ["filter", "city"]),
        ({"cast": {"columns": ["city"], "to": "date", "formats": ["%Q"]}}, ["%Q"]),
        ({"replace": {"columns": ["city"], "pattern": "("}}, ["replace", "'('"]),
        ({"expect": {"columns": ["city"], "matches": "("}}, ["expect", "'('"]),
        ({"impute": {"columns": ["amount"], "strategy": "constant", "value": "x"}}, ["'amount' is number, and 'x' is not"]),
        ({"replace": {"columns": ["id"], "values": {1: "one"}}}, ["'id' is integer"]),
        ({"replace": {"columns": ["id"], "values": {"one": 1}}}, ["replace", "'id' is integer"]),
        ({"clip": {"columns": ["id"], "lower": 5, "upper": 1}}, ["lower"]),
    ],
    ids=lambda value: json.dumps(value)[1:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_step_that_cannot_be(told, step, words):
    said = told([step])
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    "step",
    [
        {"rename": {"id": "id", "amount": "AMOUNT"}},
        {"expect": {"columns": ["id"], "not_null": True, "unique": True}},
        {"expect": {"columns": ["id"], "unique": True}},
    ],
    ids=lambda value: json.dumps(value)[1:60],
)  # fmt: skip
def test_a_step_that_can_be_is_checked_run_and_applied(connection, step):
    spec = spec_of("can_be", [step], source="given")
    query(connection, f"CHECK PIPELINE {text(json.dumps(spec))}")
    run(connection, "can_be", [step], source="given", order="1")
    query(connection, "APPLY PIPELINE can_be TO given AS can_be_view")


@pytest.mark.parametrize(
    "outputs",
    [
        [{"table": "never"}, {"file": "FOLDER/never.xyz"}],
        [{"table": "never"}, {"table": "nowhere.never"}],
        [{"table": "never"}, {"insert": "nobody"}],
        [{"table": "never"}, {"insert": "given_pair"}],
        [{"table": "never"}, {"table": "never"}],
        [{"table": "never", "file": "FOLDER/never.csv"}],
        [{}],
    ],
    ids=["ending", "schema", "table", "columns", "twice", "two", "none"],
)
def test_outputs_that_cannot_be_are_told_before_anything_is_written(connection, told, tmp_path, outputs):
    store(connection, "given_pair", pa.table({"one": [1], "other": [2]}))
    outputs = json.loads(json.dumps(outputs).replace("FOLDER", str(tmp_path)))
    try:
        before = tables(connection)
        said = refused(connection, "never", [{"min_max": ["amount"]}], source="given", output=outputs)
        assert said and tables(connection) == before and not versions(connection, "never")
    finally:
        query(connection, "DROP TABLE given_pair")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"file": "FOLDER/taken.csv/out.csv"}, ["out.csv' cannot be written", "taken.csv' is no folder"]),
        ({"file": "FOLDER/taken.csv", "partition_by": ["city"]}, ["it is a file, and a folder of files is to be written"]),
        ({"file": "FOLDER/parts.csv"}, ["it is a folder, and one file is to be written"]),
        ({"file": "FOLDER/parts.csv", "partition_by": ["city"]}, ["has files already", "remove it, or name another folder"]),
        ({"file": "/proc/never.csv"}, ["cannot be written: nothing can be made in '/proc'"]),
        ({"file": "s3://nowhere-there-is/never.csv"}, ["nowhere-there-is"]),
    ],
    ids=["below a file", "file", "folder", "has files", "not writable", "no bucket"],
)
@pytest.mark.parametrize("word", ["RUN", "CHECK"])
def test_folders_are_looked_at_before_anything_is_learned(connection, tmp_path, word, output, words):
    (tmp_path / "taken.csv").write_text("a")
    (tmp_path / "parts.csv").mkdir()
    (tmp_path / "parts.csv" / "one.csv").write_text("a")
    output = json.loads(json.dumps(output).replace("FOLDER", str(tmp_path)))
    # The source is not there, which would be told first if it were looked at first.
    spec = spec_of("never", [{"min_max": ["amount"]}], source="not_there", output=[{"table": "never"}, output])
    with pytest.raises(flight_sql.Error) as error:
        query(connection, f"{word} PIPELINE {text(json.dumps(spec))}")
    for said in words:
        assert said in str(error.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["one.csv", "parts.csv", "taken.csv"]


def test_folders_that_are_not_there_are_made_and_files_replaced(connection, tmp_path):
    output = [{"file": str(tmp_path / "a/b/out.csv")}, {"file": str(tmp_path / "parts.csv"), "partition_by": ["city"]}]
    steps = [{"min_max": ["amount"]}]
    query(connection, f"RUN PIPELINE {text(json.dumps(spec_of('makes', steps, source='given', output=output)))}")
    assert sorted(path.name for path in (tmp_path / "parts.csv").iterdir()) == ["city=a", "city=b", "city=c"]
    query(connection, f"RUN PIPELINE {text(json.dumps(spec_of('makes', steps, source='given', output=output[:1])))}")
    assert len((tmp_path / "a/b/out.csv").read_text().splitlines()) == 7


def test_rows_that_are_set_aside_may_have_any_column_but_those_of_the_reason(connection):
    store(connection, "asides", pa.table({"id": [1, 2], "rows": [1, 2], "fate": ["x", "y"], "weight": [1, 2]}))
    run(connection, "asides", [{"expect": {"holds": "id > 1", "otherwise": "quarantine"}}], source="asides")
    assert query(connection, "SELECT id, fate FROM asides_rejected").values.tolist() == [[1, "x"]]


@pytest.mark.parametrize("name", ["step", "how", "reason"])
def test_rows_that_are_set_aside_may_have_a_column_of_that_name(connection, name):
    store(connection, "asides", pa.table({"id": [1, 2], name: ["x", "y"]}))
    run(connection, "asides", [{"expect": {"holds": "id > 1", "otherwise": "quarantine"}}], source="asides")
    aside = query(connection, "SELECT * FROM asides_rejected")
    names = [f"{word}_" if word == name else word for word in ["step", "how", "reason"]]
    assert list(aside) == [*names, "id", name] and list(aside[name]) == ["x"]


def test_the_reason_of_a_row_that_is_set_aside_is_whole(connection):
    run(
        connection,
        "whole_reason",
        [{"expect": {"columns": ["city"], "matches": "^(a|b)$", "otherwise": "quarantine"}}],
        source="given",
    )
    assert set(query(connection, "SELECT reason FROM whole_reason_rejected")["reason"]) == {"city is like ^(a|b)$"}


def written(path, lines):
    path.write_text(lines)
    return {"file": str(path)}


EVERYTHING = [
    {"impute": {"columns": ["a"], "strategy": "median", "indicator": True}},
    {"clip": {"columns": ["a"], "iqr": 1.5}},
    {"standardize": ["a"]},
    {"bin": {"columns": ["a"], "quantile": 4}},
    {"frequency": ["b"]},
    {"drop_duplicates": {}},
]


def test_a_file_with_a_header_only_gives_outputs_without_rows(connection, tmp_path):
    source = written(tmp_path / "header.csv", "a,b\n") | {"types": {"a": "number", "b": "text"}}
    file = tmp_path / "out.parquet"
    out, report = run(
        connection, "header", EVERYTHING, source=source, order="a", output=[{"table": "header_out"}, {"file": str(file)}]
    )
    assert (len(out), list(out)) == (0, ["a", "b", "a_missing"])
    assert report[report["what"] == "rows in"]["value"].iloc[0] == "0"
    assert pyarrow.parquet.read_table(file).num_rows == 0


def test_a_file_with_a_header_only_and_no_types_says_that_it_has_no_rows(told, tmp_path):
    assert "no rows" in told(EVERYTHING, source=written(tmp_path / "header.csv", "a,b\n"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_empty_file_says_that_it_is_empty(told, tmp_path, ending):
    assert "empty" in told([{"trim": "text"}], source=written(tmp_path / f"nothing.{ending}", ""))


def test_one_row(connection, tmp_path):
    out, _ = run(connection, "single", EVERYTHING, source=written(tmp_path / "one.csv", "a,b\n7,x\n"), order="a")
    assert out.drop(columns="a").values.tolist() == [[1.0, 0]] and not out["a"].isna().any()


def test_files_that_are_broken(told, tmp_path):
    ragged = told(source=written(tmp_path / "ragged.csv", "a,b\n1,2\n3\n"))
    assert "expected 2 records, found 1 records at line 3" in ragged.lower()
    late = told(source=written(tmp_path / "late.csv", "a\n" + "1\n" * 1500 + "x\n"))
    assert "parsing value 'x' as type 'Int64' for column 0 at line 1501" in late and "TEXT" in late
    assert "invalid Parquet file" in told(source=written(tmp_path / "none.parquet", "this is no Parquet file"))


@pytest.mark.parametrize(
    "name", ["my col", 'say "hi"', "größe", "日本語", "a.b", "x'y", "SELECT", "a*b", "a|b", "fate", "_l0", ODD]
)
def test_names_are_as_odd_as_they_like(connection, name):
    store(connection, "odd", pa.table({"id": range(4), name: [1.0, 2.0, None, 4.0], f"{name} 2": ["x", "y'z", "", None]}))
    quoted = '"' + name.replace('"', '""') + '"'
    steps = [
        {"impute": {"columns": [name], "strategy": "median", "indicator": True}},
        {"derive": {f"twice {name}": f"{quoted} * 2"}},
        {"min_max": [name]},
        {"one_hot": {"columns": [f"{name} 2"]}},
        {"expect": {"columns": [name], "range": [0, 0.9], "otherwise": "quarantine"}},
    ]
    out, _ = run(connection, "odd", steps, source="odd")
    assert list(out) == ["id", name, f"{name} 2_", f"{name} 2_x", f"{name} 2_y'z", f"{name}_missing", f"twice {name}"]
    assert out[f"twice {name}"].tolist() == [2.0, 4.0, 4.0]
    assert apply(connection, "odd", "odd", "odd_view").equals(out)
    assert query(connection, "SELECT id FROM odd_rejected")["id"].tolist() == [3]


def test_categories_that_come_later(connection):
    steps = [
        {"derive": {"rare": "city", "order": "city", "share": "city", "mean": "city"}},
        {"one_hot": {"columns": ["rare"], "max_categories": 1}},
        {"ordinal": {"columns": ["order"]}},
        {"frequency": ["share"]},
        {"target_encode": {"columns": ["mean"], "target": "id"}},
        {"one_hot": {"columns": ["city"]}},
    ]
    run(connection, "later", steps, source="given")
    store(connection, "later_rows", pa.table({"id": [1, 2], "amount": [1.0, 2.0], "city": ["new", None]}))
    out = apply(connection, "later", "later_rows", "later_view")
    known = [0, 0, 0]
    assert out[["city_a", "city_b", "city_c"]].values.tolist() == [known, known]
    assert out["rare_other"].tolist() == [1, 0]
    assert out["order"].tolist() == [-1, -1] and out["share"].tolist() == [0, 0]
    assert out["mean"].tolist() == [2.5, 2.5]


@pytest.fixture(scope="module")
def learned(connection):
    steps = [
        {"impute": {"columns": ["amount"], "strategy": "mean"}},
        {"one_hot": {"columns": ["city"]}},
        {"min_max": ["a*"]},
    ]
    run(connection, "learned", steps, source="given")
    run(connection, "by_word", [{"standardize": "numeric"}], source="given")
    run(connection, "of_flag", [{"one_hot": {"columns": ["id"]}}], source="given", order="city")
    return connection


@pytest.mark.parametrize(
    ("pipeline", "columns", "words"),
    [
        ("learned", {"id": [1], "city": ["a"]}, ["there is no column 'amount' here"]),
        ("learned", {"id": [1], "amnt": [1.0], "city": ["a"]}, ["did you mean 'amnt'?"]),
        ("learned", {"id": [1], "amount": ["1"], "city": ["a"]}, ["'amount' is text, and was number when the pipeline was run", "cast it"]),
        ("by_word", {"id": [1], "amount": [1.0], "more": [2.0]}, ["has not learned the mean of 'more'"]),
        ("by_word", {"id": [1], "city": ["a"]}, ["amount"]),
        ("by_word", {"id": [1], "amount": ["1"], "city": ["a"]}, ["amount"]),
        ("of_flag", {"id": [1.0], "amount": [1.0]}, ["'id' is number, and was integer when the pipeline was run"]),
    ],
    ids=["lacks", "other name", "other type", "more", "word lacks", "word other type", "one hot other type"],
)
def test_a_table_that_does_not_fit(learned, pipeline, columns, words):
    store(learned, "misfit", pa.table(columns))
    with pytest.raises(flight_sql.Error) as error:
        query(learned, f"APPLY PIPELINE {pipeline} TO misfit AS misfit_view")
    for word in words:
        assert word in str(error.value)
    assert "misfit_view" not in tables(learned)


def test_what_is_applied_must_be_there(learned):
    for sql, words in [
        ("APPLY PIPELINE learnd TO given AS v", "did you mean 'learned'?"),  # misspelt
        ("APPLY PIPELINE learned VERSION 99 TO given AS v", "it has 1"),
        ("APPLY PIPELINE learned TO gvn AS v", "table 'millpond.public.gvn' not found"),
        ("RUN PIPELINE learnd", "did you mean 'learned'?"),  # misspelt
        ("DROP PIPELINE nobody", "nobody"),
    ]:
        with pytest.raises(flight_sql.Error, match=words.replace("?", r"\?")):
            query(learned, sql)


def test_a_view_does_not_take_the_place_of_its_table(connection):
    store(connection, "itself", pa.table({"id": [1, 2]}))
    run(connection, "itself", [{"min_max": ["id"]}], source="itself")
    with pytest.raises(flight_sql.Error):
        query(connection, "APPLY PIPELINE itself TO itself AS itself")


def test_a_transform_that_is_too_large_is_told_before_anything_is_learned(told):
    deep = " + ".join(["id"] * 5_000)
    assert "it has 4999 operators, the limit is 4000" in told([{"derive": {"deep": deep}}])
    # Each is not too deep, and both together are.
    deep = " + ".join(["id"] * 2_500)
    steps = [{"derive": {"deep": deep}}, {"derive": {"deeper": f"deep + {deep}"}}, {"standardize": ["amount"]}]
    said = told(steps)
    assert "4999 operators inside each other" in said and "learn" not in said


def test_a_thousand_columns(connection):
    """Steps with many operators for each column, and one with all columns in one expression."""
    rows = {"id": [0, 1, 2]} | {f"c{number}": [1.0 * number, 2.0, None] for number in range(1000)}
    store(connection, "wide", pa.table(rows))
    steps = [{"impute": {"columns": ["c*"], "strategy": "mean"}}, {"log": ["c*"]}, {"normalize_rows": {"columns": ["c*"], "norm": "l2"}}]
    out, _ = run(connection, "wide", steps, source="wide")
    assert out.shape == (3, 1001)
    np.testing.assert_allclose((out.drop(columns="id") ** 2).sum(axis=1), 1)
    assert apply(connection, "wide", "wide", "wide_view").equals(out)


@pytest.mark.skipif(WIDE is None, reason="takes minutes with a debug build; MILLPOND_WIDE=1 runs it")
def test_five_thousand_columns(connection, tmp_path):
    names = [f"c{number}" for number in range(COLUMNS)]
    lines = [",".join(str(number * row) for number in range(COLUMNS)) for row in range(3)]
    source = written(tmp_path / "wide.csv", "\n".join([",".join(names), *lines]) + "\n")
    out, _ = run(connection, "wide", [{"standardize": ["c*"]}], source=source, order="c1")
    assert out.shape == (3, COLUMNS)
    expected = np.array([-1.5, 0, 1.5]) / np.sqrt(1.5)
    np.testing.assert_allclose(out["c4999"], expected, rtol=1e-9, atol=1e-12)
