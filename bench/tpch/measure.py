"""Measures one engine, in a process of its own, so that memory is its own: measure.py ENGINE PLAN.json RESULT.json"""

import json
import sys
import time
from pathlib import Path

from check import checksum
from engines import Engine, open_engine
from tables import query_text


def measure(engine: Engine, plan: dict) -> dict:
    """Loads the tables and runs the queries. An error of a query is a result too."""
    started = time.perf_counter()
    engine.load({table: Path(file) for table, file in plan["files"].items()})
    load_seconds = time.perf_counter() - started
    queries = {}
    for number in plan["queries"]:
        try:
            queries[number] = run_query(engine, query_text(number, plan["scale"]), plan["repeat"])
        except Exception as error:
            queries[number] = {"error": f"{type(error).__name__}: {error}"}
        print(number, queries[number], flush=True)
    return {"load_seconds": load_seconds, "queries": queries}


def run_query(engine: Engine, text: str, repeat: int) -> dict:
    """Runs a query once to warm up, then with the clock. Every answer counts for the check."""
    checksums = [checksum(engine.query(text))]
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        answer = engine.query(text)
        seconds.append(time.perf_counter() - started)
        checksums.append(checksum(answer))
    return {"seconds": seconds, "checksums": checksums}


def main() -> None:
    name, plan_file, result_file = sys.argv[1:]
    plan = json.loads(Path(plan_file).read_text())
    binary = Path(plan["binary"]) if plan["binary"] else None
    engine = open_engine(name, binary, Path(result_file).parent / "files")
    try:
        result = measure(engine, plan)
    finally:
        engine.close()
    Path(result_file).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
