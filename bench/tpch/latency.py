"""Latency of small queries: Millpond through Flight SQL, DataFusion and DuckDB in process, in the same run.

MILLPOND_BIN names the binary. See README.md for the method.
"""

import argparse
import statistics
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from check import Checksum, checksum, differences
from cluster import binary_of_environment
from engines import MILLPOND, Engine, open_engine
from machine import describe_machine
from results import WORK, RunFolder

ROWS = 1_000_000
KEYS = 100
WARM_UPS = 20
RUNS = 300
PERCENTILES = [50, 95, 99]
PEERS = ["DataFusion", "DuckDB"]
# What is measured: the engine and the row groups of the file that it loads. Millpond puts the rows of one row group on
# one executor and spreads those of more over both, which is slower for small queries; a table of users can be either.
VARIANTS = {
    "Millpond, one row group": (MILLPOND, 1),
    "Millpond, 8 row groups": (MILLPOND, 8),
    **{peer: (peer, 8) for peer in PEERS},
}
QUERIES = {
    "`SELECT 1`": "SELECT 1",
    "point count": "SELECT count(*) FROM t WHERE k = 7",
    "group by 100 keys": "SELECT k, count(*), sum(v), avg(v) FROM t GROUP BY k",
}

# Query to variant to milliseconds of each run.
Latencies = dict[str, dict[str, list[float]]]


def write_rows(file: Path, row_groups: int) -> Path:
    """Keys in turn, so that every part of the table has all of them and none can be left out."""
    columns = {"id": range(ROWS), "k": [row % KEYS for row in range(ROWS)], "v": [row * 0.5 for row in range(ROWS)]}
    pq.write_table(pa.table(columns), file, row_group_size=ROWS // row_groups)
    return file


def run_query(engine: Engine, sql: str) -> tuple[list[float], dict]:
    """Milliseconds of each run, and the checksum of the last answer."""
    for _ in range(WARM_UPS):
        engine.query(sql)
    milliseconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        answer = engine.query(sql)
        milliseconds.append((time.perf_counter() - started) * 1e3)
    return milliseconds, checksum(answer)


def measure_latencies(binary: Path, work: Path) -> Latencies:
    """Engines one after the other: none runs while another is measured."""
    work.mkdir(parents=True, exist_ok=True)
    latencies: Latencies = {query: {} for query in QUERIES}
    checksums: dict[str, dict[str, Checksum]] = {query: {} for query in QUERIES}
    for variant, (name, row_groups) in VARIANTS.items():
        file = write_rows(work / f"rows-{row_groups}.parquet", row_groups)
        engine = open_engine(name, binary, work / variant.replace(" ", "_"))
        try:
            engine.load({"t": file})
            for query, sql in QUERIES.items():
                latencies[query][variant], found = run_query(engine, sql)
                checksums[query][variant] = Checksum(**found)
        finally:
            engine.close()
    wrong = [line for query in QUERIES for line in differences(query, checksums[query])]
    if wrong:
        raise SystemExit("answers differ:\n" + "\n".join(wrong))
    return latencies


def percentiles(milliseconds: list[float]) -> list[float]:
    hundredths = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return [hundredths[percentile - 1] for percentile in PERCENTILES]


def table(latencies: Latencies) -> str:
    """Percentiles, and how many times as long each takes as the engines in process."""
    columns = ["query", "engine", *[f"p{percentile}, ms" for percentile in PERCENTILES]]
    columns += [f"p{percentile}, times {peer}" for peer in PEERS for percentile in PERCENTILES]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for query, variants in latencies.items():
        found = {variant: percentiles(milliseconds) for variant, milliseconds in variants.items()}
        for variant, values in found.items():
            ratios = [value / of_peer for peer in PEERS for value, of_peer in zip(values, found[peer])]
            cells = [f"{value:.2f}" for value in [*values, *ratios]]
            lines.append(f"| {query} | {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK, help="folder for raw results; default %(default)s")
    options = parser.parse_args()
    run = RunFolder(options.work.resolve())
    binary = binary_of_environment()
    machine = describe_machine(binary)
    latencies = measure_latencies(binary, run.path)
    run.keep({"machine": machine, "latency_milliseconds": latencies})
    run.say(table(latencies))


if __name__ == "__main__":
    main()
