"""A table while changes come in: freshness at three rates, and a query with and without them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from catch_up import read_sums
from engine import Engine, Table
from freshness import measure_freshness
from messages import Changes
from usage import machine_cpu_seconds, usage_of

LOAD = Path(__file__).resolve().parent / "load.py"
LIGHT, HEAVY = 0.2, 0.8
# Before the clock starts at a new rate.
RAMP_SECONDS = 2
# Room for the last query, which may begin just before the end.
TAIL_SECONDS = 2
IDLE_SECONDS = 5
QUERY = "SELECT region, count(*), sum(amount), max(version) FROM {} GROUP BY region"


class Load:
    """`load.py`, ready to send."""

    def __init__(self, brokers: str, topic: str, keys: int, start: int, count: int, rate: int) -> None:
        command = [sys.executable, str(LOAD), brokers, topic, *map(str, (keys, start, count, rate))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != "ready\n":
            raise SystemExit("load.py did not start")

    def begin(self) -> None:
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self) -> dict:
        """Waits until all is sent."""
        out, _ = self._process.communicate()
        if self._process.returncode:
            raise SystemExit("load.py failed")
        return json.loads(out)


class Live:
    """A keyed table that has one round of changes, and what was sent to its topic since."""

    def __init__(self, engine: Engine, table: Table, brokers: str, changes: Changes) -> None:
        self._engine, self._table, self._brokers, self._changes = engine, table, brokers, changes
        self._next, self._probes = changes.keys, 0

    def idle_query_ms(self) -> list[float]:
        self._query_for(IDLE_SECONDS / 2)
        return self._query_for(IDLE_SECONDS)

    def fresh_under_load(self, rate: int, seconds: float) -> dict:
        """Freshness while `rate` changes a second come in."""

        def probe() -> dict:
            return measure_freshness(self._engine, self._table, self._brokers, self._changes, self._probes, seconds)

        found = self._under_load(rate, seconds, probe)
        self._probes += len(found["fresh_ms"])
        return found

    def query_under_load(self, rate: int, seconds: float) -> dict:
        """The query, again and again, while `rate` changes a second come in."""
        return self._under_load(rate, seconds, lambda: {"query_ms": self._query_for(seconds)})

    def _under_load(self, rate: int, seconds: float, measure: Callable[[], dict]) -> dict:
        """What `measure` returns, which should take `seconds`, and how the load went.

        `behind_seconds` is how long after the last change the table has all of them. Cores are those that the engine's
        workers, and everything on the machine, used from the first change on until then.
        """
        keys, count = self._changes.keys, int(rate * (RAMP_SECONDS + seconds + TAIL_SECONDS))
        load = Load(self._brokers, self._table.topic, keys, self._next, count, rate)
        before, machine = usage_of(self._engine.workers()), machine_cpu_seconds()
        load.begin()
        time.sleep(RAMP_SECONDS)
        found = measure()
        sent = load.result()
        ended = time.perf_counter()
        self._engine.catch_up(self._table)
        after, machine = usage_of(self._engine.workers()), machine_cpu_seconds() - machine
        self._next += min(sent["messages"], keys)
        elapsed = after.seconds - before.seconds
        return found | {
            "rate": rate,
            "sent": sent,
            "behind_seconds": after.seconds - ended,
            "busy_cores": (after.cpu_seconds - before.cpu_seconds) / elapsed,
            "machine_busy_cores": machine / elapsed,
        }

    def check(self) -> dict:
        """What the table holds, and what it should hold."""
        found = read_sums(self._engine, self._table, self._changes.keys)
        return {"sums": asdict(found), "expected": asdict(self._changes.expected(self._next))}

    def _query_for(self, seconds: float) -> list[float]:
        """Milliseconds of each query until the time is over."""
        sql, milliseconds = QUERY.format(self._table.name), []
        deadline = time.perf_counter() + seconds
        while (asked := time.perf_counter()) < deadline:
            self._engine.query(sql)
            milliseconds.append((time.perf_counter() - asked) * 1e3)
        return milliseconds


def measure_live(
    engine: Engine, table: Table, brokers: str, changes: Changes, rates: tuple[float, float], seconds: float
) -> dict:
    """At 20 % and 80 % of what all cores reached, and at 80 % of what one did: `rates`, in changes a second, of all and of
    one. The table has caught up with its topic.
    """
    full_rate, core_rate = rates
    live = Live(engine, table, brokers, changes)
    idle = live.idle_query_ms()
    loads = {"light": int(full_rate * LIGHT), "core": int(core_rate * HEAVY), "heavy": int(full_rate * HEAVY)}
    fresh = {name: live.fresh_under_load(rate, seconds) for name, rate in loads.items()}
    query = live.query_under_load(loads["heavy"], seconds)
    return {"idle_query_ms": idle, **fresh, "query": query, "check": live.check()}
