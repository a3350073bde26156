"""Whether two engines wrote the same table."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

TOLERANCE = 1e-6


def count_rows(result: Path) -> int:
    files = sorted(result.glob("*.parquet")) if result.is_dir() else [result]
    return sum(pq.ParquetFile(file).metadata.num_rows for file in files)


def compare(result: Path, other: Path) -> None:
    """Compares numbers of rows and, column by column, sums and sums of squares. Rows may be in any order."""
    table, expected = pq.read_table(result), pq.read_table(other)
    if (table.num_rows, table.num_columns) != (expected.num_rows, expected.num_columns):
        raise SystemExit(f"{result} is {table.shape}, {other} is {expected.shape}")
    for column in range(table.num_columns):
        found, wanted = _moments(table, column), _moments(expected, column)
        if not np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE * table.num_rows):
            raise SystemExit(f"column {table.column_names[column]} of {result}: {found}, of {other}: {wanted}")


def _moments(table, column: int) -> list[float]:
    values = table.column(column).cast("double")
    return [pc.sum(values).as_py(), pc.sum(pc.multiply(values, values)).as_py()]
