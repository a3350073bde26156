"""Measures models on Millpond, scikit-learn and Spark; README.md says what and how."""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from fits import MODELS, check, of_millpond, of_script
from millpond import Cursor
from rows import write

ENGINES = {"scikit-learn": "fit_sklearn.py", "Spark": "fit_spark.py"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows to fit")
    parser.add_argument("--repeat", type=int, default=3, help="fits of each")
    parser.add_argument("--largest", type=int, default=1_000_000, help="rows of the largest table that is refreshed")
    parser.add_argument("--no-spark", action="store_true")
    parser.add_argument("--only", choices=["fits", "refresh", "staleness"])
    parser.add_argument("--brokers", default=os.environ.get("MILLPOND_TEST_KAFKA"), help="HOST:PORT of one broker")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    binary = Path(os.environ.get("MILLPOND_BIN", "target/debug/millpond")).resolve()
    # The binary refuses variables that are no settings.
    for name in [name for name in os.environ if name.startswith("MILLPOND_")]:
        del os.environ[name]
    results: dict = {"rows": options.rows, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(dir="target") as work:
        work = Path(work).resolve()
        if options.only in (None, "fits"):
            results["fits"] = measure_fits(options, binary, work)
        if options.only != "fits" and options.brokers:
            cursor = Cursor(binary, work)
            try:
                from refresh import by_size
                from staleness import by_model

                if options.only != "staleness":
                    results["refresh"] = by_size(cursor, options.brokers, options.largest)
                if options.only != "refresh":
                    results["staleness"] = by_model(cursor, options.brokers)
            finally:
                cursor.close()
    report(results)
    print(json.dumps(results))


def measure_fits(options: argparse.Namespace, binary: Path, work: Path) -> dict:
    file = work / "rows.parquet"
    write(file, options.rows)
    found = {}
    (work / "fits").mkdir()
    cursor = Cursor(binary, work / "fits")
    try:
        found["Millpond"] = of_millpond(cursor, file, options.repeat)
    finally:
        cursor.close()
    for engine, script in ENGINES.items():
        if engine != "Spark" or not options.no_spark:
            found[engine] = of_script(script, file, options.repeat)
    check(found)
    return found


def report(results: dict) -> None:
    if fits := results.get("fits"):
        print(f"| seconds to fit {results['rows']:,} rows x 12 | " + " | ".join(f"{engine} | / Millpond" for engine in fits) + " |")
        print("|---|" + "---|---|" * len(fits))
        for name in MODELS:
            medians = {engine: statistics.median(found[name]["seconds"]) for engine, found in fits.items()}
            cells = [f"{seconds:.2f} | {seconds / medians['Millpond']:.2f}" for seconds in medians.values()]
            print(f"| {name} | " + " | ".join(cells) + " |")
        for name, rate in fits["Millpond"]["predictions"].items():
            print(f"predictions of {name}: {rate / 1e6:.1f} million rows a second")
    for size, found in results.get("refresh", {}).items():
        if size == "changes":
            for count, cost in found.items():
                print(f"refresh after {count:,} changes: {cost['seconds'] * 1e3:.0f} ms, {cost['cpu_seconds'] * 1e3:.0f} ms of a core")
        else:
            print(
                f"{size:,} rows: refresh after 1,000 changes {found['seconds'] * 1e3:.0f} ms, {found['cpu_seconds'] * 1e3:.0f} ms of a "
                f"core; all rows {found['full_seconds'] * 1e3:.0f} ms"
            )
    for name, found in results.get("staleness", {}).items():
        print(
            f"{name}: changes are in the model after {found['median'] * 1e3:.0f} ms (median), {found['p99'] * 1e3:.0f} ms (p99), "
            f"{found['longest'] * 1e3:.0f} ms (longest); {found['versions']} versions"
        )


main()
