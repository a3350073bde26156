"""The tables in PostgreSQL, random values for them, and what becomes of the values on each way to Millpond."""

import dataclasses
import datetime
import decimal
import json
import struct
from collections.abc import Callable

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)
# A day on which clocks change in many places.
LATE = datetime.datetime(2026, 3, 29, tzinfo=UTC)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type of PostgreSQL, how a statement of Millpond names it, and random values."""

    postgres: str
    millpond: str
    value: Callable


@dataclasses.dataclass(frozen=True)
class Way:
    """A connector: how it writes values, and the columns and options of the tables that read them."""

    name: str
    partitions: int
    connector: dict
    options: dict
    # By kind: the type of the column in Millpond, and what a value of PostgreSQL is then.
    columns: dict

    def sql_type(self, kind):
        return self.columns[kind][0] if kind in self.columns else KINDS[kind].millpond

    def expected(self, kind, value):
        if value is None or kind not in self.columns:
            return value
        return self.columns[kind][1](value)


def text(random):
    letters = "abc ÄßあИ😀'\"\\{}[]:,\n\t\u007f\u0001\u2028"
    if random.random() < 0.1:
        return random.choice(["", "null", "-1", "true", "__debezium_unavailable", "2026-01-01", "AAAA"])
    return "".join(random.choices(letters, k=random.randrange(20)))


def number(random, digits, scale):
    """A number of up to so many digits; the greatest and the least come too."""
    largest = 10**digits - 1
    unscaled = random.choice([0, 1, largest, -largest, random.randint(-largest, largest), random.randint(-999, 999)])
    return decimal.Decimal(unscaled).scaleb(-scale, decimal.Context(prec=digits))


def unlimited(random):
    """A number with a scale of its own, which has room in 38 digits with 10 after the point."""
    return number(random, random.randrange(1, 25), random.randrange(11))


def moment(random, digits=6):
    """A time between 1900 and 2200, with so many digits after the second."""
    unit = 10 ** (6 - digits)
    micros = random.randint(-2_208_988_800_000_000, 7_258_118_400_000_000)
    return EPOCH + datetime.timedelta(microseconds=micros // unit * unit)


def document(random, lengths):
    numbers = [random.randint(-5, 10**12) for _ in range(random.choice(lengths))]
    return json.dumps({"numbers": numbers, "text": text(random).replace("\u0001", "")})


def large(random):
    """A text that has no room in a row of PostgreSQL, most of the times."""
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyzäöü0123456789", k=random.choice([5, 3000, 9000])))


def real(random):
    value = random.choice([0.0, -1.5, 1e30, 3.4e38, 1.1, random.uniform(-1000, 1000)])
    return struct.unpack("f", struct.pack("f", value))[0]


KINDS = {
    "bool": Kind("boolean", "BOOLEAN", lambda r: r.random() < 0.5),
    "small": Kind("smallint", "SMALLINT", lambda r: r.choice([-(2**15), 2**15 - 1, r.randrange(100)])),
    "int": Kind("integer", "INT", lambda r: r.choice([-(2**31), 2**31 - 1, r.randrange(100)])),
    "big": Kind("bigint", "BIGINT", lambda r: r.choice([-(2**63), 2**63 - 1, r.randrange(2**55)])),
    "id": Kind("integer", "INT", lambda r: r.randrange(60)),
    "region": Kind("text", "TEXT", lambda r: r.choice(["north", "süd", "'\"\\", ""])),
    "real": Kind("real", "REAL", real),
    "double": Kind("double precision", "DOUBLE", lambda r: r.choice([0.0, -0.5, 1e308, 5e-324, r.uniform(-1e6, 1e6)])),
    "money": Kind("numeric(10,2)", "DECIMAL(10,2)", lambda r: number(r, 10, 2)),
    "code": Kind("numeric(10,2)", "DECIMAL(10,2)", lambda r: decimal.Decimal(r.randrange(-300, 300)).scaleb(-2)),
    "exact": Kind("numeric(38,10)", "DECIMAL(38,10)", lambda r: number(r, r.choice([5, 20, 38]), 10)),
    "unlimited": Kind("numeric", "DECIMAL(38,10)", unlimited),
    "text": Kind("text", "TEXT", text),
    "large": Kind("text", "TEXT", large),
    "bytes": Kind("bytea", "BYTEA", lambda r: r.randbytes(r.randrange(12))),
    "large_bytes": Kind("bytea", "BYTEA", lambda r: r.randbytes(r.choice([5, 3000, 9000]))),
    "json": Kind("jsonb", "TEXT", lambda r: document(r, [0, 3])),
    "large_json": Kind("jsonb", "TEXT", lambda r: document(r, [3, 700])),
    "uuid": Kind("uuid", "TEXT", lambda r: f"{r.getrandbits(128):032x}"),
    "day": Kind("date", "DATE", lambda r: moment(r).date()),
    "recent": Kind("date", "DATE", lambda r: datetime.date(2026, 1, 1 + r.randrange(5))),
    "clock": Kind("time", "TIME", lambda r: r.choice([datetime.time.min, datetime.time.max, moment(r).time()])),
    "local": Kind("timestamp", "TIMESTAMP(6)", moment),
    "brief": Kind("timestamp(3)", "TIMESTAMP(3)", lambda r: moment(r, 3)),
    "zoned": Kind("timestamptz", "TIMESTAMP(6) WITH TIME ZONE", lambda r: moment(r).replace(tzinfo=UTC)),
    "hour": Kind("timestamptz", "TIMESTAMP(6) WITH TIME ZONE", lambda r: LATE.replace(hour=r.randrange(4))),
}


@dataclasses.dataclass(frozen=True)
class Table:
    name: str
    # Names and kinds; those of the key come first.
    columns: dict
    key: int
    required: frozenset = frozenset()
    # An update of the key sets these too: PostgreSQL does not log large values that stay, so nobody could know them.
    with_key: tuple = ()

    @property
    def keys(self):
        return list(self.columns)[: self.key]

    @property
    def values(self):
        return list(self.columns)[self.key :]

    def random_value(self, random, column):
        if column in self.values and column not in self.required and random.random() < 0.2:
            return None
        return KINDS[self.columns[column]].value(random)

    def create(self):
        columns = [
            f"{name} {KINDS[kind].postgres}{' NOT NULL' if name in self.required else ''}"
            for name, kind in self.columns.items()
        ]
        return f"CREATE TABLE shop.{self.name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(self.keys)}))"


# All kinds of values, with a key of two columns.
ORDERS = Table(
    "orders",
    {
        "region": "region", "number": "id", "amount": "money", "total": "exact", "rate": "unlimited",
        "weight": "double", "width": "real", "pieces": "small", "boxes": "int", "atoms": "big", "is_open": "bool",
        "note": "text", "thumb": "bytes", "attributes": "json", "tag": "uuid", "day": "day", "clock": "clock",
        "at": "local", "brief": "brief", "seen": "zoned",
    },
    key=2,
    required=frozenset(["note"]),
)  # fmt: skip
# A key of types that are not simply texts or whole numbers.
READINGS = Table(
    "readings",
    {"day": "recent", "hour": "hour", "code": "code", "value": "double", "is_valid": "bool"},
    key=3,
    required=frozenset(["is_valid"]),
)
# Values that PostgreSQL stores beside the row: an update that leaves them does not say them.
DOCUMENTS = Table(
    "documents",
    {"id": "id", "title": "text", "body": "large", "attachment": "large_bytes", "extra": "large_json"},
    key=1,
    required=frozenset(["body"]),
    with_key=("body", "attachment", "extra"),
)
TABLES = [ORDERS, READINGS, DOCUMENTS]


def millis(value):
    """What is left of a time when it is in milliseconds."""
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


WAYS = [
    Way(
        "plain",
        partitions=3,
        connector={
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "decimal.handling.mode": "precise",
            "time.precision.mode": "connect",
        },
        options={"format.timestamp_unit": "ms"},
        columns={"clock": ("TIME", millis), "local": ("TIMESTAMP(6)", millis)},
    ),
    Way(
        "wrapped",
        partitions=3,
        connector={
            "key.converter.schemas.enable": "true",
            "value.converter.schemas.enable": "true",
            "decimal.handling.mode": "string",
            "time.precision.mode": "adaptive",
            "binary.handling.mode": "hex",
        },
        # The schema in the message says the unit of each time.
        options={"format.decimals": "string", "format.binary": "hex"},
        columns={"unlimited": ("TEXT", lambda value: format(value, "f"))},
    ),
    Way(
        "words",
        partitions=1,
        connector={
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "decimal.handling.mode": "double",
            "time.precision.mode": "isostring",
            "skipped.operations": "none",
        },
        options={"format.decimals": "double"},
        columns={"exact": ("DOUBLE", float), "unlimited": ("DOUBLE", float)},
    ),
    # Rows without the envelope: a delete is a row that says so.
    Way(
        "flat",
        partitions=2,
        connector={
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "decimal.handling.mode": "precise",
            "time.precision.mode": "adaptive",
            "transforms": "flatten",
            "transforms.flatten.type": "io.debezium.transforms.ExtractNewRecordState",
            "transforms.flatten.delete.tombstone.handling.mode": "rewrite",
        },
        options={"format": "upsert", "format.decimals": "precise"},
        columns={},
    ),
]
