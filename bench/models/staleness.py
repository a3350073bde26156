"""How long after a change a model that follows its table has learned from it."""

import statistics
import threading
import time

from millpond import Cursor
from refresh import COLUMNS, FEATURES, Broker, Changes, encode_request, fill_topic

KEYS = 100_000
RATE = 1_000
PER_SECOND = 10
SECONDS = 30

MODELS = {
    "linear regression": ("linear_regression", "y", FEATURES),
    "naive Bayes": ("gaussian_nb", "is_great", FEATURES.replace("amount * 2.0 AS y", "amount > 5000 AS is_great")),
    "logistic regression": ("logistic_regression", "is_great", FEATURES.replace("amount * 2.0 AS y", "amount + id % 7777 > 9000 AS is_great")),
}


def by_model(cursor: Cursor, brokers: str) -> dict[str, dict]:
    """Seconds from sending changes to the version that has them, by type of model: median, 99th percentile, longest, and versions."""
    changes = Changes(KEYS)
    fill_topic(brokers, "followed", changes.messages(0, KEYS), KEYS)
    cursor.run(
        f"CREATE EXTERNAL TABLE followed ({COLUMNS}, PRIMARY KEY (id)) STORED AS KAFKA "
        f"LOCATION 'kafka://{brokers}/followed' OPTIONS ('format' 'debezium-json')"
    )
    cursor.wait("followed")
    found, sent = {}, KEYS
    for name, (kind, label, features) in MODELS.items():
        cursor.run(
            f"CREATE MODEL follower OPTIONS (type '{kind}', label '{label}', refresh 'on_change') "
            f"AS SELECT {features} FROM followed"
        )
        cursor.pause()
        source = Source(brokers, changes, sent)
        found[name] = watch(cursor, source)
        sent = source.sent
        cursor.run("DROP MODEL follower")
    cursor.run("DROP TABLE followed")
    return found


class Source(threading.Thread):
    """Sends changes at a steady rate, and knows when how many had been sent."""

    def __init__(self, brokers: str, changes: Changes, sent: int) -> None:
        super().__init__()
        self.sent, self._brokers, self._changes = sent, brokers, changes
        self.times: list[tuple[int, float]] = []

    def run(self) -> None:
        broker = Broker(self._brokers)
        started, size = time.perf_counter(), RATE // PER_SECOND
        for turn in range(SECONDS * PER_SECOND):
            time.sleep(max(0.0, started + turn / PER_SECOND - time.perf_counter()))
            self.times.append((self.sent + size, time.perf_counter()))
            broker.send(encode_request("followed", list(self._changes.messages(self.sent, size))))
            self.sent += size
        broker.close()


def watch(cursor: Cursor, source: Source) -> dict:
    source.start()
    learned, waits, versions = 0, [], set()
    while source.is_alive() or len(waits) < len(source.times):
        [(version, positions)] = cursor.run("SELECT version, positions FROM system.model_versions WHERE model = 'follower' "
                                            "ORDER BY version DESC LIMIT 1")
        now = time.perf_counter()
        versions.add(version)
        learned = sum(int(part.split(":")[1]) for part in positions.split(" ")[1].split(","))
        waits += [now - at for count, at in source.times[len(waits):] if count <= learned]
        time.sleep(0.005)
    source.join()
    waits.sort()
    return {
        "median": statistics.median(waits),
        "p99": waits[int(len(waits) * 0.99)],
        "longest": waits[-1],
        "versions": len(versions),
    }
