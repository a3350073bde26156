"""What it costs to refresh a model over a table that follows a topic: by the size of the table, and by the number of changes."""

import statistics
import sys
import time
from pathlib import Path

from millpond import Cursor

sys.path.append(str(Path(__file__).parents[1] / "ingest"))

from messages import Changes  # noqa: E402
from topics import fill_topic, in_parts  # noqa: E402
from wire import Broker, encode_request  # noqa: E402

REPEAT = 9
FEATURES = "CAST(id % 1000 AS DOUBLE) AS a, CAST(amount AS DOUBLE) AS b, CAST(version AS DOUBLE) AS v, region, amount * 2.0 AS y"
COLUMNS = "id BIGINT, name TEXT, region TEXT, amount BIGINT, version BIGINT, updated_at BIGINT"


class Table:
    """A table of `keys` rows, a model of it, and the changes after them."""

    def __init__(self, cursor: Cursor, brokers: str, keys: int) -> None:
        self.name, self._cursor, self._brokers = f"t{keys}", cursor, brokers
        self._changes, self._next = Changes(keys), keys
        fill_topic(brokers, self.name, self._changes.messages(0, keys), keys)
        cursor.run(
            f"CREATE EXTERNAL TABLE {self.name} ({COLUMNS}, PRIMARY KEY (id)) STORED AS KAFKA "
            f"LOCATION 'kafka://{brokers}/{self.name}' OPTIONS ('format' 'debezium-json')"
        )
        cursor.wait(self.name)
        cursor.run(
            f"CREATE MODEL m_{self.name} OPTIONS (type 'linear_regression', label 'y') AS SELECT {FEATURES} FROM {self.name}"
        )

    def refresh(self, changes: int) -> dict:
        """Seconds, and processor seconds, of a refresh after so many changes: medians."""
        seconds, processor = [], []
        for _ in range(REPEAT):
            broker = Broker(self._brokers)
            for part in in_parts(self._changes.messages(self._next, changes), 5000):
                broker.send(encode_request(self.name, part))
            broker.close()
            self._next += changes
            self._cursor.wait(self.name)
            self._cursor.pause()
            used, started = self._cursor.cpu_seconds(), time.perf_counter()
            self._cursor.run(f"REFRESH MODEL m_{self.name}")
            seconds.append(time.perf_counter() - started)
            processor.append(self._cursor.cpu_seconds() - used)
        return {"seconds": statistics.median(seconds), "cpu_seconds": statistics.median(processor)}

    def full(self) -> float:
        """Seconds of a training over all rows."""
        started = time.perf_counter()
        copy = f"CREATE OR REPLACE TABLE copied AS SELECT {FEATURES} FROM {self.name}"
        self._cursor.run(copy)
        started = time.perf_counter()
        self._cursor.run("CREATE OR REPLACE MODEL m_copied OPTIONS (type 'linear_regression', label 'y') AS SELECT * FROM copied")
        return time.perf_counter() - started

    def check(self) -> None:
        """Fails unless the model is that of a training from nothing."""
        kept, fresh = (
            dict(self._cursor.run(f"SELECT term, coefficient FROM system.model_coefficients c JOIN system.models m "
                                  f"ON m.name = c.model AND m.version = c.version WHERE c.model = '{name}'"))
            for name in [f"m_{self.name}", "m_copied"]
        )
        if kept.keys() != fresh.keys() or any(abs(kept[term] - fresh[term]) > 1e-9 * max(1, abs(fresh[term])) for term in kept):
            raise SystemExit(f"{self.name}: {kept} is not {fresh}")

    def drop(self) -> None:
        self._cursor.run(f"DROP MODEL m_{self.name}")
        self._cursor.run(f"DROP TABLE {self.name}")


def by_size(cursor: Cursor, brokers: str, largest: int) -> dict[int, dict]:
    found, keys = {}, 10_000
    while keys <= largest:
        table = Table(cursor, brokers, keys)
        found[keys] = table.refresh(1000) | {"full_seconds": table.full()}
        table.check()
        if keys * 10 > largest:
            found["changes"] = {count: table.refresh(count) for count in [100, 10_000, 100_000]}
        table.drop()
        keys *= 10
    return found
