"""Whether engines gave the same answers."""

import math
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

# Decimals are rounded at other places by each engine.
RELATIVE = 1e-6
ABSOLUTE = 0.01


@dataclass
class Checksum:
    """What is compared of an answer: its rows and, column by column, a sum of numbers or a count of others.

    The sum of no numbers is None. Nulls are not counted.
    """

    rows: int
    columns: list[float | None]


def checksum(answer: pa.Table) -> dict:
    """The checksum of an answer, ready for JSON."""
    return asdict(Checksum(answer.num_rows, [_of_column(column) for column in answer.columns]))


def _of_column(column: pa.ChunkedArray) -> float | None:
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return pc.sum(column.cast("double")).as_py()
    return float(len(column) - column.null_count)


def differences(query: int | str, checksums: dict[str, Checksum]) -> list[str]:
    """One line for each engine whose answer to the query is not that of the first engine."""
    if not checksums:
        return []
    (first, expected), *others = checksums.items()
    return [
        f"query {query}: {first} has {expected}, {name} has {found}"
        for name, found in others
        if not _equal(expected, found)
    ]


def _equal(expected: Checksum, found: Checksum) -> bool:
    same_shape = (expected.rows, len(expected.columns)) == (found.rows, len(found.columns))
    return same_shape and all(map(_close, expected.columns, found.columns))


def _close(expected: float | None, found: float | None) -> bool:
    if expected is None or found is None:
        return expected is found
    return math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
