"""DuckDB in this process, tables in its own format in memory."""

from pathlib import Path

import duckdb
import pyarrow as pa
from engines import THREADS


class DuckDb:
    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute(f"SET threads = {THREADS}")

    def load(self, files: dict[str, Path]) -> None:
        for table, file in files.items():
            self._connection.execute(f"CREATE TABLE {table} AS SELECT * FROM '{file}'")

    def query(self, sql: str) -> pa.Table:
        return self._connection.sql(sql).to_arrow_table()

    def close(self) -> None:
        self._connection.close()
