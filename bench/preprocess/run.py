"""Measures the preprocessing job on Millpond, Polars, pandas with scikit-learn, and PySpark, side by side in one run.

MILLPOND_BIN names the binary. See README.md for the method.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from check import compare
from engines import DEFAULT, ENGINES, PIPELINE, SPARK_ML, run_engine
from measured import Measurement

TOLERANCE = 1e-6
# The median and the deviations of Spark's ML are near those of the others.
TOLERANCE_SPARK_ML = 1e-3

Runs = dict[str, list[Measurement]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=3, metavar="R")
    parser.add_argument("--csv", type=Path, help="file to read instead of generated rows")
    parser.add_argument("--work", type=Path, help="folder for files, kept; default is a temporary one")
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=DEFAULT)
    return parser.parse_args()


def take_binary() -> Path:
    """The binary to measure. The variable goes: Millpond takes every MILLPOND_ variable for a setting."""
    path = os.environ.pop("MILLPOND_BIN", None)
    if not path:
        raise SystemExit("set MILLPOND_BIN to the millpond binary")
    return Path(path).resolve()


def generate(binary: Path, rows: int, target: Path) -> Path:
    command = [binary, "datagen", "marketing", "--rows", rows, "--seed", 1, "--format", "csv", "-o", target]
    subprocess.run(list(map(str, command)), check=True)
    return target


def check_results(results: dict[str, Path]) -> None:
    """No time counts if the answer is another one."""
    first, *others = results
    for other in others:
        tolerance = TOLERANCE_SPARK_ML if SPARK_ML in (first, other) else TOLERANCE
        compare(results[first], results[other], tolerance)


def table(runs: Runs) -> str:
    """Medians, and how many times as much each engine needs as the pipeline on Millpond, whole."""
    lines = ["| engine | seconds: median (all) | times Millpond | peak MiB | times Millpond |", "|---|---|---|---|---|"]
    base = runs.get(PIPELINE)
    for name, measured in runs.items():
        seconds, peak = median_seconds(measured), max(run.peak_bytes for run in measured)
        every = ", ".join(f"{run.seconds:.2f}" for run in measured)
        time_ratio = f"{seconds / median_seconds(base):.2f}" if base else "-"
        memory_ratio = f"{peak / max(run.peak_bytes for run in base):.2f}" if base else "-"
        lines.append(f"| {name} | {seconds:.2f} ({every}) | {time_ratio} | {peak >> 20} | {memory_ratio} |")
    return "\n".join(lines)


def median_seconds(measured: list[Measurement]) -> float:
    return statistics.median(run.seconds for run in measured)


def main() -> None:
    options, binary = arguments(), take_binary()
    with tempfile.TemporaryDirectory(prefix="preprocess-") as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        source = options.csv.resolve() if options.csv else generate(binary, options.rows, work / "campaign.csv")
        runs: Runs = {}
        for _ in range(options.repeat):
            results = {}
            for name in options.only:
                # What was written before is not written while this one runs.
                os.sync()
                measured, results[name] = run_engine(name, binary, source, work)
                for row, measurement in measured.items():
                    runs.setdefault(row, []).append(measurement)
            check_results(results)
        rows = pq.read_table(results[name], columns=["id"]).num_rows
        size = source.stat().st_size >> 20
        print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; ", end="")
        print(f"{source.name}: {size} MiB, {rows} rows in each result\n")
        print(table(runs))
        measurements = {name: [vars(run) for run in measured] for name, measured in runs.items()}
        (work / "measurements.json").write_text(json.dumps(measurements, indent=1))


if __name__ == "__main__":
    main()
