"""Random rows with everything that data has: nulls, NaN, infinities, magnitudes, Unicode, constants, nothing at all."""

import datetime
import decimal

import numpy as np
import pyarrow as pa

WORDS = ["Zürich", "東京", "", "o'Brien", 'say "hi"', "a|b;c", "  blanks ", "emoji 🦆", "NULL", "rare"]
SIZES = [1, 2, 3, 8, 60, 300]
MAGNITUDES = [1e-12, 1e-6, 1.0, 1e6, 1e12]
DAYS = [datetime.date(1899, 12, 31), datetime.date(1969, 12, 31), datetime.date(2024, 2, 29), datetime.date(2026, 12, 31)]


def rows_of(seed):
    """A table with a column of each sort; every seed has another size, magnitude and share of what is missing."""
    random = np.random.default_rng(seed)
    size = SIZES[seed % len(SIZES)]
    missing = random.choice([0.0, 0.1, 0.5])

    def some(values, odds=missing):
        return [None if random.random() < odds else value for value in values]

    def dirty(values):
        places = random.random(size)
        values = np.where(places < 0.05, np.inf, np.where(places < 0.1, -np.inf, values))
        return some([float(value) for value in np.where(places > 0.9, np.nan, values)])

    money = [decimal.Decimal(int(cents)).scaleb(-2) for cents in random.integers(-99_999, 99_999, size)]
    moments = [datetime.datetime.combine(day, datetime.time(int(random.integers(24)), int(random.integers(60))))
               for day in random.choice(DAYS, size)]  # fmt: skip
    return pa.table(
        {
            "id": pa.array(range(size), pa.int64()),
            "dirty": pa.array(dirty(random.normal(3, 1, size) * random.choice(MAGNITUDES)), pa.float64()),
            "skewed": pa.array(some(random.lognormal(0, 2, size) * random.choice(MAGNITUDES)), pa.float64()),
            "short": pa.array(some(random.normal(0, 9, size).astype("float32")), pa.float32()),
            "whole": pa.array(some(random.integers(-5, 6, size)), pa.int32()),
            "money": pa.array(some(money), pa.decimal128(12, 2)),
            "constant": pa.array(np.full(size, 0.1), pa.float64()),
            "empty": pa.array([None] * size, pa.float64()),
            "word": pa.array(some(random.choice(WORDS, size)), pa.string()),
            "no_word": pa.array([None] * size, pa.string()),
            "flag": pa.array(some(random.random(size) < 0.5), pa.bool_()),
            "target": pa.array(some(random.normal(0, 1, size), odds=0.1), pa.float64()),
            "moment": pa.array(some(moments), pa.timestamp("us")),
            "day": pa.array(some(random.choice(DAYS, size)), pa.date32()),
        }
    )


def numbers_of(table, name):
    """A column as floating point; NaN is missing."""
    values = table[name].to_pylist()
    return np.array([np.nan if value is None else float(value) for value in values], dtype="float64")
