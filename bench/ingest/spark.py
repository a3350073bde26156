"""Spark Structured Streaming in local mode: each batch is merged into a table in memory.

Spark has no keyed table that streams write and queries read. What comes closest in memory: `foreachBatch` keeps the
last change of each key, takes these keys out of the rows so far, adds the new rows, and puts the result under the name
of the table. The rows are a local checkpoint, so that plans do not grow from batch to batch.
"""

import os
from pathlib import Path

import psutil
from connector import connector_jars
from engine import Table
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

THREADS = os.cpu_count() or 1
# Of the rows of a table.
PARTITIONS = 2 * THREADS


class Spark:
    def __init__(self, brokers: str, work: Path) -> None:
        self._brokers = brokers
        self._session = (
            SparkSession.builder.master(f"local[{THREADS}]")
            .config("spark.driver.memory", "8g")
            .config("spark.jars", ",".join(map(str, connector_jars())))
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.shuffle.partitions", str(PARTITIONS))
            # Queries do not wait for the batch that runs.
            .config("spark.scheduler.mode", "FAIR")
            .config("spark.local.dir", str(work / "scratch"))
            .config("spark.sql.streaming.checkpointLocation", str(work / "positions"))
            .getOrCreate()
        )
        self._session.sparkContext.setLogLevel("ERROR")
        # Of this thread; streams have threads of their own, in the pool of the default name.
        self._session.sparkContext.setLocalProperty("spark.scheduler.pool", "queries")
        self._workers = [one for one in psutil.Process().children(recursive=True) if one.name() == "java"]
        self._streams = {}
        self._rows = {}

    def follow(self, table: Table) -> None:
        rows = Rows(self._session, table)
        self._rows[table.name] = rows
        messages = (
            self._session.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self._brokers)
            .option("subscribe", table.topic)
            .option("startingOffsets", "earliest")
            .load()
        )
        apply = rows.merge if table.key else rows.append
        self._streams[table.name] = messages.writeStream.queryName(table.name).foreachBatch(apply).start()

    def catch_up(self, table: Table) -> None:
        self._streams[table.name].processAllAvailable()

    def drop(self, table: Table) -> None:
        self._streams.pop(table.name).stop()
        self._session.catalog.dropTempView(table.name)
        self._rows.pop(table.name).forget()

    def query(self, sql: str) -> list[tuple]:
        return [tuple(row) for row in self._session.sql(sql).collect()]

    def workers(self) -> list[psutil.Process]:
        return self._workers

    def told_bytes(self, table: Table) -> int | None:
        return self._rows[table.name].stored_bytes()

    def close(self) -> None:
        for stream in self._streams.values():
            stream.stop()
        self._session.stop()


class Rows:
    """What a table holds now, and the name under which queries find it."""

    def __init__(self, session: SparkSession, table: Table) -> None:
        self._session, self._table = session, table
        self._columns = ", ".join(f"{name} {kind}" for name, kind in table.columns)
        self._names = [name for name, _ in table.columns]
        # Numbers of the RDDs of the rows, newest last: one list for each batch.
        self._stored: list[list[int]] = []
        self._rows = session.createDataFrame([], self._columns)

    def merge(self, messages: DataFrame, _batch: int) -> None:
        """A change log: the last change of each key takes the place of its row."""
        latest, numbers = self._store(self._last_of_each_key(messages))
        kept = self._rows.join(latest, self._rows[self._table.key] == latest["changed"], "left_anti")
        added = latest.where("after IS NOT NULL").select("after.*")
        self._show(kept.unionByName(added).coalesce(PARTITIONS))
        self._free(numbers)
        # A query may still read the rows before these.
        while len(self._stored) > 2:
            self._free(self._stored.pop(0))

    def append(self, messages: DataFrame, _batch: int) -> None:
        """Each message is a row."""
        value = F.from_json(F.col("value").cast("string"), self._columns)
        self._show(messages.select(value.alias("row")).select("row.*"), beside=self._rows)

    def _last_of_each_key(self, messages: DataFrame) -> DataFrame:
        """The columns `changed`, which is the key, and `after`, which is null if the row is deleted."""
        row = f"STRUCT<{', '.join(f'{name}: {kind}' for name, kind in self._table.columns)}>"
        value = F.from_json(F.col("value").cast("string"), f"before {row}, after {row}, op STRING")
        key = self._table.key
        return (
            messages.select("offset", value.alias("change"))
            .select("offset", "change", F.coalesce(f"change.after.{key}", f"change.before.{key}").alias("changed"))
            # A key has one topic partition, so its offsets are in order.
            .groupBy("changed")
            .agg(F.max_by("change.after", "offset").alias("after"))
        )

    def _show(self, rows: DataFrame, beside: DataFrame | None = None) -> None:
        stored, numbers = self._store(rows)
        self._rows = stored if beside is None else beside.unionByName(stored)
        self._rows.createOrReplaceTempView(self._table.name)
        self._stored.append(numbers)

    def _store(self, rows: DataFrame) -> tuple[DataFrame, list[int]]:
        """Rows in memory, and the numbers of their RDDs. Only one batch runs at a time."""
        before = set(self._persistent())
        stored = rows.localCheckpoint()
        return stored, sorted(set(self._persistent()) - before)

    def stored_bytes(self) -> int:
        """Memory of the newest rows, or of all if rows are only added."""
        infos = self._session.sparkContext._jsc.sc().getRDDStorageInfo()
        wanted = set(self._stored[-1] if self._table.key else sum(self._stored, []))
        return sum(info.memSize() for info in infos if info.id() in wanted)

    def forget(self) -> None:
        for numbers in self._stored:
            self._free(numbers)

    def _persistent(self) -> dict:
        return self._session.sparkContext._jsc.getPersistentRDDs()

    def _free(self, numbers: list[int]) -> None:
        for number in numbers:
            if (rdd := self._persistent().get(number)) is not None:
                rdd.unpersist(False)
