"""Measures the 22 queries of TPC-H on Millpond, DataFusion, DuckDB and PySpark, tables in memory, in one run.

MILLPOND_BIN names the binary. See README.md for the method.
"""

import argparse
import json
import sys
from pathlib import Path

import latency
from check import Checksum, differences
from cluster import binary_of_environment
from engines import DEFAULT_ENGINES, ENGINES, MILLPOND_MODES, check_requirements
from machine import busy_cores, describe_machine
from report import Results, table, warnings
from results import WORK, RunFolder
from tables import QUERIES, generate, read_once

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "preprocess"))

from measured import run_measured  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1, metavar="SF", help="scale factor: 1 is about 1 GB")
    parser.add_argument("--repeat", type=int, default=3, metavar="R", help="runs with the clock, after one to warm up")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for data and raw results; default %(default)s")
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=DEFAULT_ENGINES, metavar="ENGINE")
    parser.add_argument("--queries", nargs="+", type=int, choices=QUERIES, default=list(QUERIES), metavar="Q")
    parser.add_argument("--no-latency", action="store_true", help="leave out latency.py")
    return parser.parse_args()


def run_engine(name: str, plan: dict, folder: Path) -> dict:
    """Measures one engine in a process of its own, with what it starts."""
    folder.mkdir(parents=True)
    plan_file, result_file = folder / "plan.json", folder / "result.json"
    plan_file.write_text(json.dumps(plan))
    command = [sys.executable, str(HERE / "measure.py"), name, str(plan_file), str(result_file)]
    busy = busy_cores()
    process = run_measured(command, folder / "log")
    return json.loads(result_file.read_text()) | {"peak_bytes": process.peak_bytes, "busy_cores_before": busy}


def failures(results: Results, numbers: list[int]) -> list[str]:
    """What makes the figures worthless: queries that failed, and answers that are not equal."""
    lines = []
    for number in numbers:
        queries = {name: result["queries"][str(number)] for name, result in results.items()}
        lines += [f"query {number}: {name}: {query['error']}" for name, query in queries.items() if "error" in query]
        lines += differences(number, checksums(queries))
    return lines


def checksums(queries: dict[str, dict]) -> dict[str, Checksum]:
    """Those of every run. The first of each engine comes under its name alone."""
    return {
        f"{name}, run {run}" if run else name: Checksum(**found)
        for name, query in queries.items()
        for run, found in enumerate(query.get("checksums", []))
    }


def main() -> None:
    options = arguments()
    check_requirements(options.only)
    binary = binary_of_environment() if set(options.only) & set(MILLPOND_MODES) or not options.no_latency else None
    machine = describe_machine(binary)
    work = options.work.resolve()
    run = RunFolder(work)
    run.say(f"{machine['cores']} cores, {machine['cpu']}, scale factor {options.scale:g}; {machine['versions']}\n")
    files = generate(work / f"data-{options.scale:g}", options.scale)
    read_once(files)
    plan = {
        "binary": str(binary) if binary else None,
        "files": {name: str(file) for name, file in files.items()},
        "queries": options.queries,
        "scale": options.scale,
        "repeat": options.repeat,
    }
    measurements = {"machine": machine, "plan": plan, "engines": {}}
    for name in options.only:
        print(f"{name} ...", file=sys.stderr)
        measurements["engines"][name] = run_engine(name, plan, run.path / name.replace(" ", "_"))
        run.keep(measurements)
    results = measurements["engines"]
    run.say(table(results, options.queries))
    run.say("\n".join(["", *warnings(results, plan["binary"])]))
    if wrong := failures(results, options.queries):
        raise SystemExit("\n".join(wrong))
    if not options.no_latency:
        print("latency ...", file=sys.stderr)
        latencies = latency.measure_latencies(binary, run.path / "latency")
        run.keep(measurements | {"latency_milliseconds": latencies})
        run.say(f"\n{latency.table(latencies)}")


if __name__ == "__main__":
    main()
