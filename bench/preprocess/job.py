"""The jobs that are measured: the project's own files, reading and writing elsewhere."""

from pathlib import Path

import yaml
from columns import source_types

DATA = Path(__file__).resolve().parents[2] / "data"
SCRIPT = DATA / "jobs/preprocess_marketing.sql"
PIPELINE = DATA / "pipelines/marketing.yaml"
SOURCE = "data/raw/marketing_campaign.csv"
RESULTS = "data/processed/"
CACHED_TABLE = "campaign"


def write_script(target: Path, source: Path, results: Path) -> None:
    """Writes a copy of the script with the paths replaced, and nothing else."""
    text = SCRIPT.read_text()
    for path in (f"'{SOURCE}'", f"'{RESULTS}"):
        if path not in text:
            raise SystemExit(f"{SCRIPT} does not name {path}; mend {Path(__file__).name}")
    target.write_text(text.replace(f"'{SOURCE}'", f"'{source}'").replace(f"'{RESULTS}", f"'{results}/"))


def write_pipeline(target: Path, source: Path, result: Path) -> None:
    """Writes a copy of the pipeline that reads another file, and writes one file and no table."""
    pipeline = yaml.safe_load(PIPELINE.read_text())
    pipeline["source"]["file"] = str(source)
    _write(target, pipeline, result)


def write_pipeline_of_table(target: Path, result: Path) -> None:
    """Writes a copy of the pipeline that reads CACHED_TABLE, and writes one file and no table."""
    pipeline = yaml.safe_load(PIPELINE.read_text())
    pipeline["source"] = {"table": CACHED_TABLE}
    _write(target, pipeline, result)


def write_cache(target: Path, source: Path) -> None:
    """Writes SQL that reads the source into memory as CACHED_TABLE."""
    columns = ", ".join(f'"{name}" {kind}' for name, kind in source_types(source).items())
    target.write_text(
        f"CREATE EXTERNAL TABLE {CACHED_TABLE} ({columns}) STORED AS CSV LOCATION '{source}'\n"
        "OPTIONS ('format.delimiter' E'\\t', 'format.has_header' 'true');\n"
        f"CACHE TABLE {CACHED_TABLE};\n"
    )


def _write(target: Path, pipeline: dict, result: Path) -> None:
    pipeline["output"] = [{"file": str(result)}]
    target.write_text(yaml.safe_dump(pipeline, sort_keys=False))
