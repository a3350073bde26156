"""The engines, behind one interface: tables into memory, queries answered as Arrow tables."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

# Every engine may use the whole machine; `millpond up` shares its cores between the executors.
THREADS = os.cpu_count() or 1
MILLPOND = "Millpond"


class Engine(Protocol):
    """An engine that runs."""

    def load(self, files: dict[str, Path]) -> None:
        """Brings the Parquet file of each table into memory."""

    def query(self, sql: str) -> pa.Table:
        """Fetches the whole answer."""

    def close(self) -> None:
        """Ends the engine and what it started."""


def open_millpond(mode: str | None, binary: Path, work: Path) -> Engine:
    from engine_millpond import Millpond

    return Millpond(mode, binary, work)


def open_datafusion(work: Path) -> Engine:
    from engine_datafusion import DataFusion

    return DataFusion()


def open_duckdb(work: Path) -> Engine:
    from engine_duckdb import DuckDb

    return DuckDb()


def open_pyspark(work: Path) -> Engine:
    from engine_pyspark import PySpark

    return PySpark(work / "scratch")


# An engine is imported when it is opened: each process holds in memory only what it measures.
MILLPOND_MODES: dict[str, str | None] = {MILLPOND: None, "Millpond direct": "direct", "Millpond staged": "staged"}
PEERS: dict[str, Callable[[Path], Engine]] = {
    "DataFusion": open_datafusion,
    "DuckDB": open_duckdb,
    "PySpark": open_pyspark,
}
ENGINES = [*MILLPOND_MODES, *PEERS]
DEFAULT_ENGINES = [MILLPOND, *PEERS]


def check_requirements(names: list[str]) -> None:
    """Fails now rather than after the engines before it."""
    if "PySpark" in names and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise SystemExit("PySpark needs Java 17 or later; install it, or leave PySpark out with --only")


def open_engine(name: str, binary: Path | None, work: Path) -> Engine:
    """Starts an engine with an empty folder. Only Millpond needs a binary."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if name in PEERS:
        return PEERS[name](work)
    assert binary is not None
    return open_millpond(MILLPOND_MODES[name], binary, work)
