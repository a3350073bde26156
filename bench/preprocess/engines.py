"""The engines, and how each does the job once, from nothing."""

import shutil
import sys
from pathlib import Path

from cluster import run_millpond
from job import write_cache, write_pipeline, write_pipeline_of_table, write_script
from measured import Measurement, run_measured

HERE = Path(__file__).resolve().parent
PIPELINE = "Millpond pipeline"
CACHED = "Millpond pipeline, cached table"
SCRIPT = "Millpond SQL script"
POLARS = "Polars"
PANDAS = "pandas+scikit-learn"
SPARK = "PySpark data frames"
SPARK_ML = "PySpark ML pipeline"
PEERS = {
    POLARS: "polars_features.py",
    PANDAS: "pandas_sklearn.py",
    SPARK: "pyspark_dataframe.py",
    SPARK_ML: "pyspark_ml.py",
}
ENGINES = [PIPELINE, CACHED, SCRIPT, *PEERS]
# The script is what the pipeline has replaced.
DEFAULT = [PIPELINE, CACHED, *PEERS]

# Rows of the table with what was measured for each, and the result.
Run = tuple[dict[str, Measurement], Path]


def run_engine(name: str, binary: Path, source: Path, work: Path) -> Run:
    folder = work / name.replace(" ", "_").replace(",", "")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "results").mkdir(parents=True)
    if name in PEERS:
        return _run_peer(name, source, folder)
    return MILLPOND[name](binary, source, folder)


def _run_pipeline(binary: Path, source: Path, folder: Path) -> Run:
    pipeline, result = folder / "pipeline.yaml", folder / "results/features.parquet"
    write_pipeline(pipeline, source, result)
    whole, alone = run_millpond(binary, [["pipeline", "run", str(pipeline)]], folder)
    return {PIPELINE: whole, f"{PIPELINE}, job alone": alone}, result


def _run_cached(binary: Path, source: Path, folder: Path) -> Run:
    cache, pipeline, result = folder / "cache.sql", folder / "pipeline.yaml", folder / "results/features.parquet"
    write_cache(cache, source)
    write_pipeline_of_table(pipeline, result)
    commands = [["submit", str(cache)], ["pipeline", "run", str(pipeline)]]
    _, alone = run_millpond(binary, commands, folder)
    return {CACHED: alone}, result


def _run_script(binary: Path, source: Path, folder: Path) -> Run:
    script = folder / "job.sql"
    write_script(script, source, folder / "results")
    whole, alone = run_millpond(binary, [["submit", str(script)]], folder)
    return {SCRIPT: whole, f"{SCRIPT}, job alone": alone}, folder / "results/marketing_features.parquet"


def _run_peer(name: str, source: Path, folder: Path) -> Run:
    result = folder / "results/features.parquet"
    scratch = [str(folder / "scratch")] if name in (SPARK, SPARK_ML) else []
    command = [sys.executable, str(HERE / PEERS[name]), str(source), str(result), *scratch]
    return {name: run_measured(command, folder / "log")}, result


MILLPOND = {PIPELINE: _run_pipeline, CACHED: _run_cached, SCRIPT: _run_script}
