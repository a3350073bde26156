"""What runs leave behind."""

import datetime
import json
import sys
from pathlib import Path

# Git ignores it.
WORK = Path(__file__).resolve().parents[2] / "target" / "bench" / "tpch"


class RunFolder:
    """A new folder for one run, so that the raw results of earlier runs stay.

    `measurements.json` is written before anything is judged, and `report.md` has what was printed.
    """

    def __init__(self, work: Path) -> None:
        self.path = work / "runs" / datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%S")
        self.path.mkdir(parents=True)
        print(f"raw results: {self.path}", file=sys.stderr)

    def keep(self, measurements: dict) -> None:
        (self.path / "measurements.json").write_text(json.dumps(measurements, indent=1))

    def say(self, text: str) -> None:
        print(text, flush=True)
        with (self.path / "report.md").open("a") as report:
            print(text, file=report)
