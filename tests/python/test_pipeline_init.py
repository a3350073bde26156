"""Files that nobody has described: `millpond pipeline init` and `run` do something sensible with them, unaided."""

import csv
import datetime
import json
import pathlib
import random
import subprocess

import numpy as np
import pandas as pd
import pytest
from conftest import BINARY, REPOSITORY
from pipelines import query

ROWS = 300
START = datetime.datetime(2024, 3, 1)


class Proposed:
    """A pipeline for a file, what it says, and the rows that come out."""

    def __init__(self, connection, url, file):
        self.name = pathlib.Path(file).stem
        self.yaml = millpond(url, "init", file)
        written = pathlib.Path(file).with_suffix(".yaml")
        written.write_text(self.yaml)
        self.report = millpond(url, "run", written)
        self.out = query(connection, f'SELECT * FROM "{self.name}_features"')
        fitted = query(connection, f"SELECT fitted, rows_in FROM system.pipelines WHERE name = '{self.name}'").iloc[-1]
        self.fitted, self.rows_in = json.loads(fitted["fitted"]), fitted["rows_in"]

    def learned(self, column, what):
        """What some step has learned of a column."""
        found = [step[column][what] for step in self.fitted.values() if what in step.get(column, {})]
        assert found, f"nothing learned the {what} of {column}"
        return found[0]


def millpond(url, *arguments):
    done = subprocess.run([BINARY, "pipeline", *arguments, "--url", url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(file, columns, delimiter=","):
    with file.open("w", newline="") as target:
        writer = csv.writer(target, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def propose(shared_connection, cluster_url):
    return lambda file: Proposed(shared_connection, cluster_url, file)


def is_scaled(values):
    return abs(values.mean()) < 1e-9 and abs(values.std(ddof=0) - 1) < 1e-9


def day(dice, form):
    return (START - datetime.timedelta(days=dice.randrange(3000))).strftime(form)


@pytest.fixture(scope="module")
def campaign(folder, propose):
    """The header of our marketing file, over rows as such a shop has them."""
    with (REPOSITORY / "data/raw/marketing_campaign.csv").open() as ours:
        header = next(csv.reader(ours, delimiter="\t"))
    dice = random.Random(11)

    def value(name, row):
        match name:
            case "ID":
                return 10_000 - 31 * row
            case "Year_Birth":
                return 1893 if row == 7 else dice.randint(1940, 1996)
            case "Education":
                return dice.choices(["Graduation", "PhD", "Master", "Basic", "2n Cycle"], [50, 22, 16, 3, 9])[0]
            case "Marital_Status":
                return "YOLO" if row == 50 else dice.choice(["Married", "Together", "Single", "Divorced", "Widow"])
            case "Income":
                return "" if row % 90 == 5 else 666666 if row == 200 else int(dice.gauss(52_000, 21_000))
            case "Dt_Customer":
                return f"{dice.randint(1, 28):02d}-{dice.randint(1, 12):02d}-{dice.choice([2012, 2013, 2014])}"
            case "Z_CostContact" | "Z_Revenue":
                return 3 if "Cost" in name else 11
        if name.startswith("Mnt"):
            return int(dice.lognormvariate(4, 1.3))
        is_flag = name.startswith("Accepted") or name in ("Complain", "Response")
        return int(dice.random() < 0.1) if is_flag else dice.randint(0, 13)

    # Columns that this shop has and ours has not, too.
    names = [*header, *[name for name in ("Z_CostContact", "Z_Revenue") if name not in header]]
    columns = {name: [value(name, row) for row in range(ROWS)] for name in names}
    found = propose(write(folder / "campaign_of_another.csv", columns, "\t"))
    found.columns = columns
    return found


def test_a_campaign_of_another_shop_becomes_numbers(campaign):
    out = campaign.out
    assert (campaign.rows_in, len(out)) == (ROWS, ROWS)
    assert all(pd.api.types.is_numeric_dtype(out[name]) for name in out), out.dtypes
    assert not out.isna().any().any()


def test_a_campaign_of_another_shop_keeps_its_ids_and_its_answers(campaign):
    assert sorted(campaign.out["ID"]) == sorted(campaign.columns["ID"])
    assert campaign.out["Response"].sum() == sum(campaign.columns["Response"])


def test_a_campaign_of_another_shop_has_categories_dates_and_no_constants(campaign):
    out = campaign.out
    assert out[["Education_PhD", "Education_2n Cycle"]].isin([0, 1]).all().all()
    # Rare ones are put together.
    assert "Marital_Status_YOLO" not in out and out["Marital_Status_other"].sum() > 0
    assert out["Dt_Customer_year"].isin([2012, 2013, 2014]).all()
    assert not {"Z_CostContact", "Z_Revenue", "Dt_Customer"} & set(out)
    assert is_scaled(out["Income"]) and is_scaled(out["Recency"])


@pytest.fixture(scope="module")
def sensors(folder, propose):
    dice = random.Random(12)
    columns = {
        "reading_id": list(range(1, ROWS + 1)),
        "sensor_id": [f"S-{dice.randint(1, 12):03d}" for _ in range(ROWS)],
        "recorded_at": [(START + datetime.timedelta(seconds=37 * row)).isoformat() for row in range(ROWS)],
        "temperature": ["" if row % 30 == 4 else f"{dice.gauss(20, 5):.3f}" for row in range(ROWS)],
        "humidity": ["N/A" if row % 40 == 4 else f"{dice.uniform(20, 80):.1f}" for row in range(ROWS)],
        "status": [dice.choice(["ok", "ok", "warn"]) for _ in range(ROWS)],
    }
    found = propose(write(folder / "sensor_readings.csv", columns))
    found.columns = columns
    return found


def test_readings_are_numbers_and_ids_are_not_scaled(sensors):
    out = sensors.out
    assert sorted(out["reading_id"]) == sensors.columns["reading_id"]
    known = [float(value) for value in sensors.columns["temperature"] if value]
    filled = np.array(known + [np.median(known)] * (ROWS - len(known)))
    assert sensors.learned("temperature", "deviation") == pytest.approx(filled.std(), rel=0.01)
    assert is_scaled(out["temperature"]) and is_scaled(out["humidity"])
    assert out["status_warn"].isin([0, 1]).all()
    assert len([name for name in out if name.startswith("sensor_id_S-")]) == 12


def test_the_moments_of_readings_are_read(sensors):
    assert "recorded_at" not in sensors.out and "recorded_at_year" in sensors.out


@pytest.fixture(scope="module")
def churn(folder, propose):
    dice = random.Random(13)
    columns = {
        "customer_id": [f"C{100_000 + row}" for row in range(ROWS)],
        "opened": [day(dice, "%d/%m/%Y") for _ in range(ROWS)],
        "last_seen": [day(dice, dice.choice(["%Y-%m-%d", "%d.%m.%Y"])) for _ in range(ROWS)],
        "balance": [f"${dice.uniform(10, 90_000):,.2f}" for _ in range(ROWS)],
        "fee": [f"€ {dice.uniform(1, 90):.2f}" for _ in range(ROWS)],
        "zip": [f"{dice.randint(501, 99_999):05d}" for _ in range(ROWS)],
        "salary": dice.sample(range(20_000, 90_000), ROWS),
        "is_active": [dice.choice(["yes", "no"]) for _ in range(ROWS)],
        "gender": [dice.choice(["F", "M", ""]) for _ in range(ROWS)],
        "notes": [f"called about {dice.random():.6f}, and was happy" for _ in range(ROWS)],
        "products": [dice.randint(1, 4) for _ in range(ROWS)],
        "churned": [dice.choice(["Yes", "No"]) for _ in range(ROWS)],
    }
    found = propose(write(folder / "bank_churn.csv", columns))
    found.columns = columns
    return found


def test_customers_of_a_bank_are_all_there_under_their_ids(churn):
    assert sorted(churn.out["customer_id"]) == churn.columns["customer_id"]


def test_free_text_goes(churn):
    assert "notes" not in churn.out


def test_yes_and_no_dates_and_blanks_of_a_bank_are_read(churn):
    out = churn.out
    assert out["is_active_yes"].sum() == churn.columns["is_active"].count("yes")
    assert out["churned_Yes"].sum() == churn.columns["churned"].count("Yes")
    assert out["gender_missing"].sum() == churn.columns["gender"].count("")
    assert out["opened_year"].between(2015, 2024).all() and "opened" not in out
    assert is_scaled(out["products"])


@pytest.mark.parametrize("name", ["balance", "fee"])
def test_money_with_signs_is_numbers(churn, name):
    amounts = [float(text.strip("$€ ").replace(",", "")) for text in churn.columns[name]]
    assert is_scaled(churn.out[name])
    assert churn.learned(name, "mean") == pytest.approx(np.mean(amounts))


def test_codes_with_zeros_in_front_are_not_scaled(churn):
    assert "zip" not in churn.out or not is_scaled(churn.out["zip"])


def test_whole_numbers_that_happen_to_be_unique_are_scaled(churn):
    assert is_scaled(churn.out["salary"])


def test_dates_that_are_written_in_two_ways_are_read(churn):
    assert churn.out["last_seen_year"].between(2015, 2024).all()


@pytest.fixture(scope="module")
def sales(folder, propose):
    dice = random.Random(14)
    columns = {
        "Kunden-Nr": list(range(1, ROWS + 1)),
        "Umsatz": [f"{dice.uniform(1, 999):.2f}".replace(".", ",") for _ in range(ROWS)],
        "Menge": [dice.randint(1, 20) for _ in range(ROWS)],
        "Datum": [day(dice, "%d.%m.%Y") for _ in range(ROWS)],
        "Größe": [dice.choice(["groß", "klein"]) for _ in range(ROWS)],
    }
    found = propose(write(folder / "umsaetze.csv", columns, ";"))
    found.columns = columns
    return found


def test_semicolons_and_names_in_another_language(sales):
    out = sales.out
    assert sorted(out["Kunden-Nr"]) == sales.columns["Kunden-Nr"]
    assert out["Größe_groß"].sum() == sales.columns["Größe"].count("groß")
    assert is_scaled(out["Menge"]) and out["Datum_year"].between(2015, 2024).all()


def test_decimal_commas_are_no_thousands(sales):
    amounts = [float(text.replace(",", ".")) for text in sales.columns["Umsatz"]]
    assert sales.learned("Umsatz", "mean") == pytest.approx(np.mean(amounts))


def test_a_category_may_be_called_other(folder, propose):
    kinds = ["car", "bus", "other"] * 100 + ["rare"]
    propose(write(folder / "transport.csv", {"id": range(301), "kind": kinds}))


@pytest.mark.parametrize(
    "names",
    [
        ["my id", "größe", 'the "best"'],
        ["yes", "no", "null"],
        ["ID", "id", "Id"],
        ["1st", "a:b", "#c"],
        ["- x", "#", "a, b"],
        ["", " ", "x"],
        ["id", "*", "kind"],
    ],
    ids=str,
)
def test_odd_names(folder, propose, names):
    dice = random.Random(15)
    columns = dict(
        zip(
            names, [range(100), [dice.gauss(0, 1) for _ in range(100)], [dice.choice("ab") for _ in range(100)]], strict=True
        )
    )
    found = propose(write(folder / "odd.csv", columns))
    assert len(found.out) == 100 and len(found.out.columns) == 4


def test_a_file_of_one_row(folder, propose):
    assert len(propose(write(folder / "one.csv", {"a": [1], "b": ["x"]})).out) == 1


def test_a_file_without_rows(folder, cluster_url):
    with pytest.raises(AssertionError, match="the source has no rows to look at"):
        millpond(cluster_url, "init", write(folder / "none.csv", {"a": [], "b": []}))


def test_types_of_a_file_that_has_them_are_taken_as_they_are(folder, propose):
    dice = np.random.default_rng(16)
    frame = pd.DataFrame(
        {
            "id": range(200),
            "at": pd.to_datetime("2024-01-01") + pd.to_timedelta(dice.integers(0, 10**6, 200), unit="s"),
            "value": dice.normal(0, 1, 200),
            "flag": dice.random(200) < 0.5,
            "kind": dice.choice(["a", "b"], 200),
        }
    )
    frame.to_parquet(folder / "typed.parquet")
    out = propose(folder / "typed.parquet").out.sort_values("id", ignore_index=True)
    assert list(out["id"]) == list(range(200)) and is_scaled(out["value"])
    assert list(out["at_month"]) == list(frame["at"].dt.month)
    assert list(out["flag_true"]) == list(frame["flag"].astype(int))
