"""Fits on rows in memory, one engine after the other, and how fast predictions are."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

from millpond import Cursor
from rows import names

MODELS = {
    "linear": "type 'linear_regression', label 'y'",
    "logistic": "type 'logistic_regression', label 'c', l2 '1', tolerance '1e-8'",
    "bayes": "type 'gaussian_nb', label 'c'",
}
LABELS = {"linear": "y", "logistic": "c", "bayes": "c"}
# Solvers stop at different points.
TOLERANCES = {"linear": 1e-6, "logistic": 1e-3, "bayes": 1e-9}


def of_millpond(cursor: Cursor, file: Path, repeat: int) -> dict:
    cursor.run(f"CREATE EXTERNAL TABLE rows_file STORED AS PARQUET LOCATION '{file}'")
    cursor.run("CREATE TABLE rows AS SELECT * FROM rows_file")
    features = ", ".join(names())
    found = {}
    for name, options in MODELS.items():
        seconds = []
        for _ in range(repeat):
            started = time.perf_counter()
            cursor.run(f"CREATE OR REPLACE MODEL m_{name} OPTIONS ({options}) AS SELECT {features}, {LABELS[name]} FROM rows")
            seconds.append(time.perf_counter() - started)
        column = "coefficient"
        filters = "term <> 'intercept' AND term <> 'prior' AND coalesce(class, '0') = '0'"
        if name == "logistic":
            filters = "term <> 'intercept'"
        rows = cursor.run(f"SELECT term, {column} FROM system.model_coefficients WHERE model = 'm_{name}' AND {filters}")
        by_term = dict(rows)
        found[name] = {"seconds": seconds, "coefficients": [by_term[term] for term in names()]}
    found["predictions"] = {name: predictions(cursor, name, repeat) for name in MODELS}
    return found


def predictions(cursor: Cursor, name: str, repeat: int) -> float:
    """Rows a second whose predictions are made and counted."""
    rates = []
    for _ in range(repeat):
        started = time.perf_counter()
        ((rows, _),) = cursor.run(f"SELECT count(*), sum(predict(m_{name})) FROM rows")
        rates.append(rows / (time.perf_counter() - started))
    return max(rates)


def of_script(script: str, file: Path, repeat: int) -> dict:
    command = [sys.executable, str(Path(__file__).parent / script), str(file), str(repeat)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def check(found: dict[str, dict]) -> None:
    """Fails unless all engines have learned the same."""
    base = found["Millpond"]
    for engine, fits in found.items():
        for name, tolerance in TOLERANCES.items():
            pairs = zip(fits[name]["coefficients"], base[name]["coefficients"], strict=True)
            for one, other in pairs:
                if not math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance):
                    raise SystemExit(f"{engine} and Millpond differ in {name}: {one} and {other}")
