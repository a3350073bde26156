"""The report of a run shows where its time went, in SQL, on the command line and on the page."""

import json
import os
import re
import subprocess

import pandas as pd
import pyarrow as pa
import pytest
from conftest import BINARY, REPOSITORY
from pipelines import query, spec_of, store, text

STEPS = [
    {"trim": ["city"]},
    {"impute": {"columns": ["amount"], "strategy": "median"}},
    {"standardize": ["amount", "id"]},
    {"one_hot": {"columns": ["city"]}},
    {"expect": {"columns": ["id"], "range": [1, 9], "otherwise": "quarantine"}},
]


@pytest.fixture(scope="module")
def spec(shared_connection, tmp_path_factory):
    rows = {"id": range(6), "amount": [1.5, 2.0, None, 4.0, 8.0, 9.0], "city": ["a", " a", "b", "b", "c", "c"]}
    store(shared_connection, "timed", pa.table(rows))
    file = tmp_path_factory.mktemp("timed") / "out.parquet"
    return spec_of("timed", STEPS, source="timed") | {"output": [{"table": "timed_out"}, {"file": str(file)}]}


def passes(report):
    """Seconds of each pass, in order."""
    lines = report[report["step"] == "seconds"]
    return {what: float(value) for what, value in zip(lines["what"], lines["value"], strict=True)}


def value(report, step, what):
    return report[(report["step"] == step) & (report["what"] == what)]["value"].tolist()


def test_all_time_is_in_a_pass(shared_connection, spec):
    report = query(shared_connection, f"RUN PIPELINE {text(json.dumps(spec))}")
    found = passes(report)
    assert [re.sub(r" \(.*", "", what) for what in found] == [
        "1: open the source and look at the outputs",
        "2: read the source into memory",
        "3: learn 2 impute, 3 standardize, 4 one_hot",
        "4: learn 3 standardize",
        "5: all steps, to count rows",
        "6: all steps, and write timed_rejected",
        "7: all steps, and write timed_out",
        f"8: all steps, and write {spec['output'][1]['file']}",
        "9: file the version in the catalog",
    ]
    (total,) = value(report, "output", "seconds")
    assert all(seconds >= 0 for seconds in found.values())
    assert sum(found.values()) == pytest.approx(float(total), abs=0.05)


def test_a_step_has_the_time_of_the_passes_that_it_learned_in(shared_connection, spec):
    report = query(shared_connection, f"RUN PIPELINE {text(json.dumps(spec))}")
    seconds = [f"{seconds:.3f}" for seconds in passes(report).values()]
    assert value(report, "4 one_hot", "seconds") == [f"{seconds[2]} in pass 3, with 2 impute, 3 standardize"]
    assert value(report, "3 standardize", "seconds")[1] == f"{seconds[3]} in pass 4"
    assert value(report, "1 trim", "seconds") == []


def test_command_and_page_have_them_too(cluster, spec, tmp_path):
    (tmp_path / "p.yaml").write_text(json.dumps(spec))
    environment = os.environ | {"MILLPOND_URL": cluster["flight_sql"]}
    command = [BINARY, "pipeline", "run", tmp_path / "p.yaml", "--report", tmp_path / "page.html"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    for words in ["pictures of the source", "all steps, and write timed_out", "in pass"]:
        assert words in done.stdout and words in page, words
    assert "pictures of the result" in done.stdout
