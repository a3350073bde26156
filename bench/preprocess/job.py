"""The job that is measured: the project's own file, reading and writing elsewhere."""

from pathlib import Path

JOB = Path(__file__).resolve().parents[2] / "data/jobs/preprocess_marketing.sql"
SOURCE = "data/raw/marketing_campaign.csv"
RESULTS = "data/processed/"


def write_job(target: Path, source: Path, results: Path) -> None:
    """Writes a copy of the job with the paths replaced, and nothing else."""
    text = JOB.read_text()
    for path in (f"'{SOURCE}'", f"'{RESULTS}"):
        if path not in text:
            raise SystemExit(f"{JOB} does not name {path}; mend {Path(__file__).name}")
    text = text.replace(f"'{SOURCE}'", f"'{source}'").replace(f"'{RESULTS}", f"'{results}/")
    target.write_text(text)
