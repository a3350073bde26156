"""Whether two engines wrote the same table."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def compare(result: Path, other: Path, tolerance: float) -> None:
    """Compares names, numbers of rows and, column by column, sums and sums of squares. Any order will do."""
    table, expected = _read(result), _read(other)
    if table.keys() != expected.keys():
        raise SystemExit(f"{result} and {other} differ in columns {sorted(table.keys() ^ expected.keys())}")
    for name, column in table.items():
        if len(column) != len(expected[name]):
            raise SystemExit(f"{result} has {len(column)} rows, {other} has {len(expected[name])}")
        found, wanted = _moments(column), _moments(expected[name])
        if not np.allclose(found, wanted, rtol=tolerance, atol=tolerance * len(column)):
            raise SystemExit(f"column {name} of {result}: {found}, of {other}: {wanted}")


def _read(result: Path) -> dict[str, pa.ChunkedArray]:
    """Columns by name. The pipeline names columns after the categories as they are, such as `education_2n Cycle`."""
    table = pq.read_table(result)
    return {name.lower().replace(" ", "_"): table[name] for name in table.column_names}


def _moments(column: pa.ChunkedArray) -> list[float]:
    values = column.cast("double")
    return [pc.sum(values).as_py(), pc.sum(pc.multiply(values, values)).as_py()]
