"""The engines, behind one interface: tables follow topics, and queries see what they hold now."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

MILLPOND = "Millpond"
SPARK = "Spark"
ENGINES = [MILLPOND, SPARK]


@dataclass(frozen=True)
class Table:
    """A table over a topic. With a key the topic is a change log of Debezium, without one each message is a row."""

    name: str
    topic: str
    # Names and types, which both engines know.
    columns: tuple[tuple[str, str], ...]
    key: str | None


CUSTOMER = (
    ("id", "BIGINT"),
    ("name", "STRING"),
    ("region", "STRING"),
    ("amount", "BIGINT"),
    ("version", "BIGINT"),
    ("updated_at", "BIGINT"),
)
READING = (("sensor_id", "STRING"), ("ts", "TIMESTAMP"), ("temperature", "DOUBLE"), ("humidity", "DOUBLE"))


def customers(topic: str) -> Table:
    return Table(f"{topic}_table", topic, CUSTOMER, "id")


def readings(topic: str) -> Table:
    return Table(f"{topic}_table", topic, READING, None)


class Engine(Protocol):
    """An engine that runs."""

    def follow(self, table: Table) -> None:
        """Makes a table that follows its topic from the first message on. Does not wait for it."""

    def catch_up(self, table: Table) -> None:
        """Ends when queries of the table see all that is in the topic now."""

    def drop(self, table: Table) -> None:
        """Ends the table."""

    def query(self, sql: str) -> list[tuple]:
        """Fetches the whole answer."""

    def workers(self) -> list[psutil.Process]:
        """The processes that read topics and hold tables."""

    def told_bytes(self, table: Table) -> int | None:
        """Memory of a table as the engine tells it."""

    def close(self) -> None:
        """Ends the engine and what it started."""


def open_engine(name: str, brokers: str, binary: Path | None, work: Path) -> Engine:
    """Starts an engine. Its folder may have the state of a run before."""
    work.mkdir(parents=True, exist_ok=True)
    if name == SPARK:
        from spark import Spark

        return Spark(brokers, work)
    from millpond import Millpond

    assert binary is not None
    return Millpond(brokers, binary, work)
