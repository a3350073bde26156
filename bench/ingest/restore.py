"""Restore: a cluster ends and starts again with its state, and a table of many keys can be read again."""

import time
from pathlib import Path

from adbc_driver_manager import Error
from engine import Table
from millpond import Millpond

POLL_SECONDS = 0.2
CHECKPOINT_SECONDS_MAX = 300
RESTORE_SECONDS_MAX = 300


def measure_restore(brokers: str, binary: Path, work: Path, table: Table, keys: int) -> dict:
    """Seconds from the start of the processes to the first count of all rows, and how long the checkpoint took.

    The topic has one message for each key. The cluster is ended when checkpoints have all of them. `answers` are those
    of each count: there should be one.
    """
    work.mkdir(parents=True)
    engine = Millpond(brokers, binary, work)
    try:
        engine.follow(table)
        engine.catch_up(table)
        caught_up = time.perf_counter()
        _wait_for_checkpoint(engine, table, keys)
        checkpoint_seconds = time.perf_counter() - caught_up
    finally:
        engine.close()
    state_bytes = sum(file.stat().st_size for file in (work / "state").rglob("*") if file.is_file())
    started = time.perf_counter()
    engine = Millpond(brokers, binary, work)
    try:
        ready_seconds = time.perf_counter() - started
        answers = _count_until(engine, table, keys)
        seconds = time.perf_counter() - started
    finally:
        engine.close()
    return {
        "keys": keys,
        "answers": answers,
        "seconds": seconds,
        "ready_seconds": ready_seconds,
        "checkpoint_seconds": checkpoint_seconds,
        "state_bytes": state_bytes,
    }


def _count_until(engine: Millpond, table: Table, keys: int) -> list[int | str]:
    """Counts rows until all are there. An error is an answer too."""
    answers: list[int | str] = []
    deadline = time.monotonic() + RESTORE_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            answers.append(engine.query(f"SELECT count(*) FROM {table.name}")[0][0])
        except Error as error:
            answers.append(str(error))
        if answers[-1] == keys:
            break
        time.sleep(POLL_SECONDS)
    return answers


def _wait_for_checkpoint(engine: Millpond, table: Table, messages: int) -> None:
    deadline = time.monotonic() + CHECKPOINT_SECONDS_MAX
    while (stored := engine.checkpointed(table)) < messages:
        if time.monotonic() > deadline:
            raise SystemExit(f"checkpoints have {stored} of {messages} messages")
        time.sleep(POLL_SECONDS)
