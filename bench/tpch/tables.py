"""The eight tables as Parquet files, and the texts of the queries."""

import subprocess
import sysconfig
from pathlib import Path

TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
QUERIES = range(1, 23)
TEXTS = Path(__file__).resolve().parent / "queries"

# The fraction in query 11 is this at scale factor 1, and divided by the scale factor at others.
FRACTION_QUERY = 11
FRACTION = "0.0001"


def generate(folder: Path, scale: float) -> dict[str, Path]:
    """Writes the tables that are missing, one file each, and returns the file of each table."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {table: folder / f"{table}.parquet" for table in TABLES}
    missing = [table for table in TABLES if not files[table].exists()]
    if missing:
        program = Path(sysconfig.get_path("scripts")) / "tpchgen-cli"
        options = ["--scale-factor", str(scale), "--tables", ",".join(missing), "--output-dir", str(folder)]
        subprocess.run([str(program), "parquet", *options, "--quiet"], check=True)
    return files


def read_once(files: dict[str, Path]) -> None:
    """So that the first engine, too, finds the files in the page cache."""
    for file in files.values():
        file.read_bytes()


def query_text(number: int, scale: float) -> str:
    """The text of a query, with the validation values of the specification."""
    text = (TEXTS / f"q{number:02}.sql").read_text()
    if number == FRACTION_QUERY:
        text = text.replace(FRACTION, f"{float(FRACTION) / scale:.10f}".rstrip("0"))
    return text
