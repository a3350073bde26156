"""PySpark in local mode, every table cached."""

from pathlib import Path

import pyarrow as pa
from engines import THREADS
from pyspark.sql import SparkSession


class PySpark:
    def __init__(self, scratch: Path) -> None:
        self._session = (
            SparkSession.builder.master(f"local[{THREADS}]")
            .config("spark.driver.memory", "8g")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.shuffle.partitions", "8")
            .config("spark.local.dir", str(scratch))
            .getOrCreate()
        )
        self._session.sparkContext.setLogLevel("ERROR")

    def load(self, files: dict[str, Path]) -> None:
        for table, file in files.items():
            self._session.read.parquet(str(file)).createOrReplaceTempView(table)
            # Reads the file at once, because it is not CACHE LAZY TABLE.
            self._session.sql(f"CACHE TABLE {table}")

    def query(self, sql: str) -> pa.Table:
        return self._session.sql(sql).toArrow()

    def close(self) -> None:
        self._session.stop()
