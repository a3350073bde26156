"""Catch-up: a topic that already has its messages becomes a table."""

import time
from dataclasses import asdict, dataclass

from engine import Engine, Table
from messages import Sums
from usage import machine_cpu_seconds, usage_of

# So that memory is given back and work in the background has ended.
SETTLE_SECONDS = 3


@dataclass(frozen=True)
class CatchUp:
    """How a table came to have all messages of its topic.

    `seconds` go from the statement that makes the table to the moment when queries see all messages. Processor seconds
    are those of the engine's workers and of the whole machine, with broker and client. Memory is how much more the
    workers have afterwards, and what the engine tells of the table.
    """

    messages: int
    rows: int
    seconds: float
    cpu_seconds: float
    machine_cpu_seconds: float
    grown_bytes: int
    told_bytes: int | None
    sums: Sums


def catch_up(engine: Engine, table: Table, messages: int) -> dict:
    """Makes the table, waits for it, and reads its sums. Ready for JSON."""
    workers = engine.workers()
    before, machine = usage_of(workers), machine_cpu_seconds()
    engine.follow(table)
    engine.catch_up(table)
    after, machine = usage_of(workers), machine_cpu_seconds() - machine
    sums = read_sums(engine, table)
    time.sleep(SETTLE_SECONDS)
    grown = usage_of(workers).resident_bytes - before.resident_bytes
    result = CatchUp(
        messages=messages,
        rows=sums.rows,
        seconds=after.seconds - before.seconds,
        cpu_seconds=after.cpu_seconds - before.cpu_seconds,
        machine_cpu_seconds=machine,
        grown_bytes=grown,
        told_bytes=engine.told_bytes(table),
        sums=sums,
    )
    return asdict(result)


def read_sums(engine: Engine, table: Table, below: int | None = None) -> Sums:
    """Those of `messages.Sums`, of keys below a number if it is given."""
    first, second = ("amount", "version") if table.key else (_whole("temperature", 100), _whole("humidity", 10))
    where = "" if below is None else f" WHERE {table.key} < {below}"
    [row] = engine.query(f"SELECT count(*), sum({first}), sum({second}) FROM {table.name}{where}")
    return Sums(*[int(value or 0) for value in row])


def _whole(column: str, times: int) -> str:
    """Floating point sums depend on the order of rows."""
    return f"CAST(round({column} * {times}) AS BIGINT)"
