"""`millpond demo` as a newcomer runs it."""

import shutil
import subprocess

from conftest import BINARY, REPOSITORY

MOMENTS = [
    "1. Preprocess",
    "marketing_features.parquet",
    "It has caught up: the lag is 0",
    "not_json",
    "Nobody trains anything",
    "A customer wants to be forgotten",
    "Another file comes into the folder",
    "All four jobs took",
]


def test_all_four_jobs_run_in_one_go(tmp_path):
    # Other tests read what other jobs write there.
    shutil.copytree(REPOSITORY / "data", tmp_path / "data")
    done = subprocess.run(
        [BINARY, "demo"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    rest = done.stdout
    for moment in MOMENTS:
        assert moment in rest, moment
        rest = rest.split(moment, 1)[1]
    # Versions tick while changes come, and the customer who left is not counted any more.
    versions = numbers(between(done.stdout, "Nobody trains", "wants to be forgotten"), 0)
    assert versions[-1] - versions[0] >= 3, versions
    left = between(done.stdout, "wants to be forgotten", "4. Analyse")
    customers, learned = numbers(left, 0)[:2], numbers(left, 3)[:2]
    assert customers[0] - customers[1] == 1 and learned == customers
    assert numbers(left, 1)[:2] == [1, 0]


def test_outside_of_the_project_it_says_where_to_run_it(tmp_path):
    done = subprocess.run([BINARY, "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "in the folder of the project" in done.stderr


def between(text, start, end):
    return text.split(start, 1)[1].split(end, 1)[0]


def numbers(text, column):
    """A column of the tables in a text, as far as its cells are whole numbers."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [row[column].strip() for row in rows if len(row) > column]
    return [int(cell) for cell in cells if cell.isdigit()]
