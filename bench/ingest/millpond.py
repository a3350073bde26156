"""Millpond: a cluster of its own, through Flight SQL."""

from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import psutil
from cluster import Cluster
from engine import Table

EXECUTOR = "executor"
WAIT_SECONDS = 1200


class Millpond:
    def __init__(self, brokers: str, binary: Path, work: Path) -> None:
        self._brokers = brokers
        self._cluster = Cluster(binary, work)
        try:
            self._connection = flight_sql.connect(self._cluster.url, autocommit=True)
            self._cursor = self._connection.cursor()
            self._workers = _executors()
        except BaseException:
            self._cluster.stop()
            raise

    def follow(self, table: Table) -> None:
        columns = ", ".join(f"{name} {kind}" for name, kind in table.columns)
        key = f", PRIMARY KEY ({table.key})" if table.key else ""
        form = "debezium-json" if table.key else "json"
        self._cursor.execute(
            f"CREATE EXTERNAL TABLE {table.name} ({columns}{key}) STORED AS KAFKA "
            f"LOCATION 'kafka://{self._brokers}/{table.topic}' OPTIONS ('format' '{form}')"
        )

    def catch_up(self, table: Table) -> None:
        self._cursor.execute(f"WAIT FOR TABLE {table.name} TIMEOUT '{WAIT_SECONDS}s'")

    def drop(self, table: Table) -> None:
        self._cursor.execute(f"DROP TABLE {table.name}")

    def query(self, sql: str) -> list[tuple]:
        self._cursor.execute(sql)
        return self._cursor.fetchall()

    def workers(self) -> list[psutil.Process]:
        return self._workers

    def told_bytes(self, table: Table) -> int | None:
        return self.query(f"SELECT bytes FROM system.streams WHERE table_name = '{table.name}'")[0][0]

    def checkpointed(self, table: Table) -> int:
        """Messages that the last checkpoints of the topic partitions have."""
        sql = f"SELECT sum(checkpoint_offset) FROM system.stream_partitions WHERE table_name = '{table.name}'"
        return self.query(sql)[0][0] or 0

    def close(self) -> None:
        try:
            self._cursor.close()
            self._connection.close()
        finally:
            self._cluster.stop()


def _executors() -> list[psutil.Process]:
    """Those below this process: nothing else here starts any."""
    found = [one for one in psutil.Process().children(recursive=True) if EXECUTOR in one.cmdline()]
    if not found:
        raise SystemExit("the cluster has no processes of executors")
    return found
