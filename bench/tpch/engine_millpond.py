"""Millpond: a cluster of its own, through Flight SQL, every table cached."""

from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
from cluster import Cluster


class Millpond:
    def __init__(self, mode: str | None, binary: Path, work: Path) -> None:
        self._cluster = Cluster(binary, work)
        try:
            self._connection = flight_sql.connect(self._cluster.url, autocommit=True)
            self._cursor = self._connection.cursor()
            if mode:
                self._cursor.execute(f"SET millpond.execution_mode = '{mode}'")
        except BaseException:
            self._cluster.stop()
            raise

    def load(self, files: dict[str, Path]) -> None:
        for table, file in files.items():
            self._cursor.execute(f"CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION '{file}'")
            # Ends when all rows are in memory, because it is not CACHE LAZY TABLE.
            self._cursor.execute(f"CACHE TABLE {table}")

    def query(self, sql: str) -> pa.Table:
        self._cursor.execute(sql)
        return self._cursor.fetch_arrow_table()

    def close(self) -> None:
        try:
            self._cursor.close()
            self._connection.close()
        finally:
            self._cluster.stop()
