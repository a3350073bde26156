"""The rows that all engines learn from: twelve features of different sizes, a number and a class that follow from them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FEATURES = 12
PART = 500_000


def names() -> list[str]:
    return [f"x{number}" for number in range(FEATURES)]


def write(file: Path, rows: int) -> None:
    """Features `x0` to `x11`, `y` and `c` (0 or 1). The same file for the same number of rows."""
    random = np.random.default_rng(1)
    sizes = 10.0 ** random.uniform(-1, 2, FEATURES)
    middles = random.normal(0, 3, FEATURES) * sizes
    weights = random.normal(0, 1, FEATURES) / sizes
    schema = pa.schema([*((name, pa.float64()) for name in names()), ("y", pa.float64()), ("c", pa.int64())])
    with pq.ParquetWriter(file, schema) as writer:
        for start in range(0, rows, PART):
            count = min(PART, rows - start)
            x = middles + sizes * random.normal(0, 1, (count, FEATURES))
            score = (x - middles) @ weights
            y = score + random.normal(0, 1, count)
            c = (random.random(count) < 1 / (1 + np.exp(-score))).astype(np.int64)
            writer.write_table(pa.table([*x.T, y, c], schema=schema))
