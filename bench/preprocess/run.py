"""Measures the preprocessing job on Millpond, pandas with scikit-learn, and PySpark, side by side in one run.

MILLPOND_BIN names the binary. See README.md for the method.
"""

import argparse
import functools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from check import compare, count_rows
from cluster import run_millpond
from job import write_job
from measured import Measurement, run_measured

HERE = Path(__file__).resolve().parent
PEERS = {
    "pandas+scikit-learn": "pandas_sklearn.py",
    "PySpark data frames": "pyspark_dataframe.py",
    "PySpark ML pipeline": "pyspark_ml.py",
}
MILLPOND = "Millpond"
MILLPOND_JOB = "Millpond, job alone"
# Engines whose results have the same columns, so that they can be compared.
COMPARABLE = [MILLPOND, "pandas+scikit-learn", "PySpark data frames"]

Runs = dict[str, list[Measurement]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=3, metavar="R")
    parser.add_argument("--csv", type=Path, help="file to read instead of generated rows")
    parser.add_argument("--work", type=Path, help="folder for files, kept; default is a temporary one")
    parser.add_argument("--only", nargs="+", choices=[MILLPOND, *PEERS], default=[MILLPOND, *PEERS])
    return parser.parse_args()


@functools.cache
def binary() -> Path:
    """The binary to measure. The variable goes: Millpond takes every MILLPOND_ variable for a setting."""
    path = os.environ.pop("MILLPOND_BIN", None)
    if not path:
        raise SystemExit("set MILLPOND_BIN to the millpond binary")
    return Path(path).resolve()


def generate(rows: int, target: Path) -> Path:
    command = [binary(), "datagen", "marketing", "--rows", rows, "--seed", 1, "--format", "csv", "-o", target]
    subprocess.run(list(map(str, command)), check=True)
    return target


def run_engine(name: str, source: Path, work: Path, runs: Runs) -> Path:
    """Runs one engine once, from nothing, and returns what it wrote."""
    folder = work / name.replace(" ", "_")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "results").mkdir(parents=True)
    if name == MILLPOND:
        write_job(folder / "job.sql", source, folder / "results")
        whole, alone = run_millpond(binary(), folder / "job.sql", folder)
        runs.setdefault(MILLPOND, []).append(whole)
        runs.setdefault(MILLPOND_JOB, []).append(alone)
        return folder / "results/marketing_features.parquet"
    result = folder / "results/features.parquet"
    scratch = [str(folder / "scratch")] if name.startswith("PySpark") else []
    command = [sys.executable, str(HERE / PEERS[name]), str(source), str(result), *scratch]
    runs.setdefault(name, []).append(run_measured(command, folder / "log"))
    return result


def check_results(results: dict[str, Path]) -> None:
    """No time counts if the answer is another one."""
    if len({count_rows(result) for result in results.values()}) > 1:
        raise SystemExit(f"numbers of rows differ: { {name: count_rows(path) for name, path in results.items()} }")
    first, *others = [results[name] for name in COMPARABLE if name in results] or [None]
    for other in others:
        compare(first, other)


def table(runs: Runs) -> str:
    """Medians, and how many times as much each engine needs as Millpond, whole."""
    lines = ["| engine | seconds: median (all) | times Millpond | peak MiB | times Millpond |", "|---|---|---|---|---|"]
    base = runs.get(MILLPOND)
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
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="preprocess-") as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        source = options.csv.resolve() if options.csv else generate(options.rows, work / "campaign.csv")
        runs: Runs = {}
        for _ in range(options.repeat):
            results = {name: run_engine(name, source, work, runs) for name in options.only}
            check_results(results)
        rows = count_rows(next(iter(results.values())))
        size = source.stat().st_size >> 20
        print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; ", end="")
        print(f"{source.name}: {size} MiB, {rows} rows in each result\n")
        print(table(runs))
        measurements = {name: [vars(run) for run in measured] for name, measured in runs.items()}
        (work / "measurements.json").write_text(json.dumps(measurements, indent=1))


if __name__ == "__main__":
    main()
