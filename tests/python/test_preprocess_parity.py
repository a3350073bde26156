"""Compares every number of the first job with pandas and scikit-learn on the same file.

The job is data/jobs/preprocess_marketing.sql. It runs before this test, for example with
`millpond submit data/jobs/preprocess_marketing.sql`; the test reads the file that went in and the one that came out.

MILLPOND_FEATURES names the result, MILLPOND_CAMPAIGN the file it was made of; the defaults are those of the job.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = Path(os.environ.get("MILLPOND_CAMPAIGN", ROOT / "data/raw/marketing_campaign.csv"))
FEATURES = Path(os.environ.get("MILLPOND_FEATURES", ROOT / "data/processed/marketing_features.parquet"))
TOLERANCE = 1e-9

SPEND = ["MntWines", "MntFruits", "MntMeatProducts", "MntFishProducts", "MntSweetProducts", "MntGoldProds"]
ACCEPTED = ["AcceptedCmp1", "AcceptedCmp2", "AcceptedCmp3", "AcceptedCmp4", "AcceptedCmp5"]
PURCHASES = {
    "deals_purchases": "NumDealsPurchases",
    "web_purchases": "NumWebPurchases",
    "catalog_purchases": "NumCatalogPurchases",
    "store_purchases": "NumStorePurchases",
}
EDUCATION = ["2n Cycle", "Basic", "Graduation", "Master", "PhD"]
MARITAL = ["Divorced", "Married", "Other", "Single", "Together", "Widow"]


def read_campaign() -> pd.DataFrame:
    """Reads the file as text, drops copies of rows, and gives the columns their types."""
    text = pd.read_csv(CAMPAIGN, sep="\t", dtype=str, keep_default_na=False).drop_duplicates()
    words = ["Education", "Marital_Status", "Income", "Dt_Customer"]
    rows = text.drop(columns=words).astype("int64")
    income = pd.to_numeric(text["Income"].str.replace(",", "").str.replace(" ", ""), errors="coerce")
    rows["Income"] = income.mask(income == 666666).astype("float64")
    rows["Year_Birth"] = rows["Year_Birth"].where(rows["Year_Birth"].between(1901, 2014)).astype("float64")
    rows["Education"] = text["Education"].str.strip()
    marital = text["Marital_Status"].str.strip().replace("Alone", "Single")
    rows["Marital_Status"] = marital.where(marital.isin(MARITAL), "Other")
    rows["Dt_Customer"] = pd.to_datetime(text["Dt_Customer"].str.strip(), format="%d-%m-%Y")
    return rows


def derive(rows: pd.DataFrame) -> pd.DataFrame:
    """Fills what is missing and adds what follows from the rest."""
    filled = SimpleImputer(strategy="median").fit_transform(rows[["Income", "Year_Birth"]])
    derived = pd.DataFrame({"id": rows["ID"], "income": filled[:, 0], "age": 2014 - filled[:, 1]})
    derived["children"] = rows["Kidhome"] + rows["Teenhome"]
    derived["total_spend"] = rows[SPEND].sum(axis=1)
    derived["total_purchases"] = rows[list(PURCHASES.values())].sum(axis=1)
    derived["accepted_campaigns"] = rows[ACCEPTED].sum(axis=1)
    derived["customer_days"] = (rows["Dt_Customer"].max() - rows["Dt_Customer"]).dt.days
    return derived


def expected_features() -> pd.DataFrame:
    """Every column of the result, by pandas and scikit-learn."""
    rows = read_campaign()
    derived = derive(rows)

    to_standardise = derived[["income", "age", "total_spend", "customer_days"]].assign(recency=rows["Recency"])
    standardised = pd.DataFrame(
        StandardScaler().fit_transform(to_standardise.astype("float64")),
        columns=[f"{name}_z" for name in to_standardise],
        index=rows.index,
    )

    to_scale = rows.rename(columns={column: name for name, column in PURCHASES.items()})[list(PURCHASES)]
    to_scale = to_scale.assign(web_visits=rows["NumWebVisitsMonth"], children=derived["children"])
    scaled = pd.DataFrame(
        MinMaxScaler().fit_transform(to_scale.astype("float64")),
        columns=[f"{name}_01" for name in to_scale],
        index=rows.index,
    )

    encoder = OneHotEncoder(categories=[EDUCATION, MARITAL], handle_unknown="ignore", sparse_output=False)
    names = [f"education_{name.lower().replace(' ', '_')}" for name in EDUCATION]
    names += [f"marital_{name.lower()}" for name in MARITAL]
    encoded = pd.DataFrame(
        encoder.fit_transform(rows[["Education", "Marital_Status"]]), columns=names, index=rows.index
    )

    plain = rows[["Complain", "Response"]].rename(columns=str.lower)
    return pd.concat([derived, standardised, scaled, encoded, plain], axis=1)


def in_order_of_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Orders by ID and, should an ID stand for several rows, by everything else."""
    return table.sort_values(list(table.columns)).reset_index(drop=True)


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    return in_order_of_rows(expected_features())


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return in_order_of_rows(pd.read_parquet(FEATURES))


def test_columns_are_the_same(expected: pd.DataFrame, found: pd.DataFrame) -> None:
    assert list(found.columns) == list(expected.columns)


def test_rows_are_the_same(expected: pd.DataFrame, found: pd.DataFrame) -> None:
    np.testing.assert_array_equal(found["id"], expected["id"])


def test_numbers_are_the_same(expected: pd.DataFrame, found: pd.DataFrame) -> None:
    for column in expected.columns:
        np.testing.assert_allclose(
            found[column].to_numpy(dtype="float64"),
            expected[column].to_numpy(dtype="float64"),
            rtol=TOLERANCE,
            atol=TOLERANCE,
            equal_nan=False,
            err_msg=column,
        )


def test_file_covers_the_dirt(expected: pd.DataFrame) -> None:
    """A clean file would prove little: the comparison needs copies and missing incomes."""
    text = pd.read_csv(CAMPAIGN, sep="\t", dtype=str, keep_default_na=False)
    if "MILLPOND_CAMPAIGN" not in os.environ:
        assert len(text) > len(expected)
    assert (text["Income"] == "").any()
