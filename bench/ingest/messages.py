"""The messages of both topics, and what tables hold once they are applied.

Message `index` of a topic is a function of `index` alone: any part of a topic can be made again, without what is
before it, and the result is known without an engine.

Changes come in rounds. Each round has every key once, in the same order, which is not that of the keys; the first one
creates all keys. Later ones delete a tenth of the keys and create those again that the round before has deleted; the
others are updates. A key is therefore never twice in a batch that is shorter than a round: no engine can leave out
changes by merging them.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

PARTITIONS = 4
REGIONS = 20
SENSORS = 1000
# A key is deleted in every tenth round.
DELETED_EVERY = 10
# Amounts are in cents, below this.
AMOUNTS = 100_000
# 2026-01-01T00:00:00Z, in milliseconds; a message comes every millisecond.
START_MS = 1_767_225_600_000
# Near the golden ratio times 2^32, and prime: strides of it visit keys far apart.
STRIDE = 2_654_435_761

CREATED = (
    '{"before":null,"after":{"id":%d,"name":"customer %09d","region":"region-%02d","amount":%d,"version":%d,'
    '"updated_at":%d},"source":{"version":"3.2.0.Final","connector":"postgresql","name":"shop","db":"shop",'
    '"schema":"public","table":"customers","lsn":%d},"op":"%s","ts_ms":%d}'
)
DELETED = (
    '{"before":{"id":%d,"name":"customer %09d","region":"region-%02d","amount":%d,"version":%d,'
    '"updated_at":%d},"after":null,"source":{"version":"3.2.0.Final","connector":"postgresql","name":"shop",'
    '"db":"shop","schema":"public","table":"customers","lsn":%d},"op":"%s","ts_ms":%d}'
)
READING = '{"sensor_id":"sensor-%04d","ts":"%s.%03dZ","temperature":%d.%02d,"humidity":%d.%d}'


class Message(NamedTuple):
    """What is produced: the topic partition, the key and the value."""

    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Sums:
    """A table in short: its rows, and the sum of a column of whole numbers (`amount`, `version`) or of hundredths."""

    rows: int
    first: int
    second: int


@dataclass(frozen=True)
class Changes:
    """The change log of `keys` customers."""

    keys: int

    def key_at(self, index: int) -> int:
        """The key that message `index` is about. A prime that does not divide `keys` makes this one to one."""
        return index % self.keys * STRIDE % self.keys

    def messages(self, start: int, count: int) -> Iterator[Message]:
        for index in range(start, start + count):
            turn, key = index // self.keys, self.key_at(index)
            yield Message(key % PARTITIONS, b'{"id":%d}' % key, change(key, turn, index))

    def expected(self, count: int) -> Sums:
        """What the table holds after the first `count` messages: rows, sums of `amount` and of `version`."""
        full, rest = divmod(count, self.keys)
        turns = array("l", [full - 1]) * self.keys
        for index in range(full * self.keys, full * self.keys + rest):
            turns[self.key_at(index)] = full
        alive = [(key, turn) for key, turn in enumerate(turns) if turn >= 0 and operation(key, turn) != "d"]
        return Sums(len(alive), sum(amount(key, turn) for key, turn in alive), sum(turn for _, turn in alive))

    def probe(self, number: int, stamp: int) -> Message:
        """A change of a key beside the others, of topic partition `number`, whose version is `stamp`."""
        key = self.probe_keys + number
        return Message(key % PARTITIONS, b'{"id":%d}' % key, _row(CREATED, key, 0, stamp, 0, "u"))

    @property
    def probe_keys(self) -> int:
        """The first of the keys of probes, which are as many as topic partitions."""
        return -(-self.keys // PARTITIONS) * PARTITIONS


def operation(key: int, turn: int) -> str:
    """`c`, `u` or `d`, as Debezium says it."""
    if turn == 0:
        return "c"
    if (key + turn) % DELETED_EVERY == 0:
        return "d"
    return "c" if turn > 1 and (key + turn - 1) % DELETED_EVERY == 0 else "u"


def amount(key: int, turn: int) -> int:
    return (key * 31 + turn * 1009) % AMOUNTS


def change(key: int, turn: int, index: int) -> bytes:
    """The value of a change, some 320 bytes."""
    now = operation(key, turn)
    if now == "d":
        return _row(DELETED, key, amount(key, turn - 1), turn - 1, index, now)
    return _row(CREATED, key, amount(key, turn), turn, index, now)


def _row(text: str, key: int, cents: int, version: int, index: int, now: str) -> bytes:
    at = START_MS + index
    return (text % (key, key, key % REGIONS, cents, version, at, 20_000_000_000 + index, now, at)).encode()


@dataclass(frozen=True)
class Sensors:
    """Readings of sensors, each a row of its own."""

    def messages(self, start: int, count: int) -> Iterator[Message]:
        for index in range(start, start + count):
            yield Message(index % PARTITIONS, b"", reading(index))

    def expected(self, count: int) -> Sums:
        """Rows, and sums of hundredths of temperature and of tenths of humidity."""
        temperatures = sum(temperature(index) for index in range(count))
        return Sums(count, temperatures, sum(humidity(index) for index in range(count)))


def temperature(index: int) -> int:
    """Hundredths of a degree, 10 to 30 degrees."""
    return 1000 + index * 37 % 2000


def humidity(index: int) -> int:
    """Tenths of a percent, 40 to 70 percent."""
    return 400 + index * 7 % 300


def reading(index: int) -> bytes:
    """The value of a reading, some 110 bytes."""
    seconds, ms = divmod(index, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    at = f"2026-01-{days + 1:02d}T{hour:02d}:{minute:02d}:{second:02d}"
    degrees, percent = divmod(temperature(index), 100), divmod(humidity(index), 10)
    return (READING % (index % SENSORS, at, ms, *degrees, *percent)).encode()
