"""DataFusion in this process, tables as record batches."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datafusion import SessionConfig, SessionContext
from engines import THREADS

BATCH_ROWS = 65_536


class DataFusion:
    def __init__(self) -> None:
        self._context = SessionContext(SessionConfig().with_target_partitions(THREADS))

    def load(self, files: dict[str, Path]) -> None:
        for table, file in files.items():
            batches = pq.read_table(file).to_batches(max_chunksize=BATCH_ROWS)
            self._context.register_record_batches(table, _partitions(batches))

    def query(self, sql: str) -> pa.Table:
        return self._context.sql(sql).to_arrow_table()

    def close(self) -> None:
        pass


def _partitions(batches: list[pa.RecordBatch]) -> list[list[pa.RecordBatch]]:
    """As many as threads, of equal numbers of batches. A table of few batches has fewer."""
    size = -(-len(batches) // THREADS)
    return [batches[start : start + size] for start in range(0, len(batches), size)]
