"""Freshness: the time from producing a change to the end of the first query that sees it."""

import threading
import time

from engine import Engine, Table
from messages import PARTITIONS, Changes
from wire import Broker, encode_request

# Probes go out at this pace, whether or not those before them have been seen.
PROBE_SECONDS = 0.1
POLL_PAUSE_SECONDS = 0.005
# How long after the last probe it may still be missing.
MISSING_SECONDS_MAX = 120


class Probes(threading.Thread):
    """Changes of a key of each topic partition in turn, whose version is the number of the probe."""

    def __init__(self, brokers: str, table: Table, changes: Changes, first: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._broker, self._topic, self._changes = Broker(brokers), table.topic, changes
        self._first, self._count = first, int(seconds / PROBE_SECONDS)
        # Number of a probe to the clock when it was handed to the broker.
        self.sent: dict[int, float] = {}

    def run(self) -> None:
        started = time.perf_counter()
        for turn in range(self._count):
            number = self._first + turn
            probe = self._changes.probe(number % PARTITIONS, number)
            request = encode_request(self._topic, [probe])
            time.sleep(max(0.0, started + turn * PROBE_SECONDS - time.perf_counter()))
            self.sent[number] = time.perf_counter()
            self._broker.send(request)
        self._broker.close()


def measure_freshness(
    engine: Engine, table: Table, brokers: str, changes: Changes, first: int, seconds: float
) -> dict[str, list[float]]:
    """Milliseconds of each probe, and of each query that looked for them. Probes have numbers from `first` on."""
    sql = f"SELECT {table.key}, version FROM {table.name} WHERE {table.key} >= {changes.probe_keys}"
    probes = Probes(brokers, table, changes, first, seconds)
    probes.start()
    fresh: dict[int, float] = {}
    polls = []
    deadline = time.perf_counter() + seconds + MISSING_SECONDS_MAX
    while probes.is_alive() or len(fresh) < len(probes.sent):
        asked = time.perf_counter()
        rows = engine.query(sql)
        seen = time.perf_counter()
        polls.append((seen - asked) * 1e3)
        for key, version in rows:
            # Older probes of the same key are seen with it.
            for number in range(version, first - 1, -PARTITIONS):
                if number in fresh:
                    break
                fresh[number] = (seen - probes.sent[number]) * 1e3
        if seen > deadline:
            raise SystemExit(f"{len(probes.sent) - len(fresh)} of {len(probes.sent)} probes were never seen")
        time.sleep(POLL_PAUSE_SECONDS)
    return {"fresh_ms": [fresh[number] for number in sorted(fresh)], "poll_ms": polls}
