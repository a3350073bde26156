"""The page of a run, looked at in a browser."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import BINARY, REPOSITORY
from PIL import Image

BAR, MISSING, NEGATIVE = (62, 124, 177), (214, 110, 66), (178, 60, 52)
# Without these it asks addresses of its makers, and waits for a network that need not be there.
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
ALONE = "--disable-component-update --disable-sync --disable-extensions --hide-scrollbars"


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return found or pytest.fail("there is no browser: install chromium")


def run(cluster, *arguments):
    environment = os.environ | {"MILLPOND_URL": cluster["flight_sql"]}
    command = [BINARY, "pipeline", "run", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def page(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    pipeline = (REPOSITORY / "data/pipelines/marketing.yaml").read_text()
    (folder / "p.yaml").write_text(pipeline.replace("data/processed/marketing_features.parquet", f"{folder}/f.parquet"))
    done = run(cluster, folder / "p.yaml", "--report", folder / "report.html")
    assert done.returncode == 0, done.stderr
    assert "rows out" in done.stdout and "<html" not in done.stdout
    return folder / "report.html"


def test_the_page_needs_no_other_file(page):
    text = page.read_text()
    assert not re.search(r"<script|<link|<img|src=|href=|url\(", text)
    assert text.count("<svg") > 60


def test_the_page_shows_bars_missing_values_and_correlations(page, browser, tmp_path):
    picture = tmp_path / "page.png"
    command = [browser, *FLAGS.split(), *ALONE.split(), f"--user-data-dir={tmp_path}/profile", "--window-size=1200,14000"]
    subprocess.run([*command, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True, timeout=120)
    with Image.open(picture) as image:
        colours = {colour: count for count, colour in image.convert("RGB").getcolors(1 << 24)}
    assert colours.get(BAR, 0) > 50_000, "bars of distributions"
    assert colours.get(MISSING, 0) > 500, "missing values"
    between = sum(count for (red, green, blue), count in colours.items() if red - blue > 40 and red > 190)
    assert between > 2000, "correlations below 0"


def test_a_report_that_cannot_be_written_is_told_before_anything_is_done(cluster, shared_connection):
    done = run(cluster, "data/pipelines/marketing.yaml", "--report", "/nowhere/report.html")
    assert done.returncode != 0 and "/nowhere/report.html" in done.stderr
    with shared_connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM system.tables WHERE starts_with(table_name, '__part_')")
        assert cursor.fetchone()[0] == 0
