"""The job with pandas and scikit-learn: pandas_sklearn.py SOURCE.csv RESULT.parquet"""

import sys

import numpy as np
import pandas as pd
from columns import ACCEPTED, CATEGORIES, PLAIN, PURCHASES, RESULT, SCALED, SPEND, STANDARDISED
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler


def clean(source: str) -> pd.DataFrame:
    rows = pd.read_csv(source, sep="\t", dtype={"Income": str}).drop_duplicates()
    income = pd.to_numeric(rows["Income"].str.replace(",", "").str.replace(" ", ""), errors="coerce")
    rows["Income"] = income.mask(income == 666666)
    rows["Year_Birth"] = rows["Year_Birth"].where(rows["Year_Birth"].between(1901, 2014))
    marital = rows["Marital_Status"].str.strip().replace("Alone", "Single")
    rows["marital"] = marital.where(marital.isin(CATEGORIES["marital"]), "Other")
    rows["education"] = rows["Education"].str.strip()
    rows["Dt_Customer"] = pd.to_datetime(rows["Dt_Customer"].str.strip(), format="%d-%m-%Y")
    return rows


def derive(rows: pd.DataFrame) -> pd.DataFrame:
    filled = SimpleImputer(strategy="median").fit_transform(rows[["Income", "Year_Birth"]])
    rows["income"] = filled[:, 0]
    rows["age"] = 2014 - filled[:, 1]
    rows["children"] = rows["Kidhome"] + rows["Teenhome"]
    rows["total_spend"] = rows[SPEND].sum(axis=1)
    rows["total_purchases"] = rows[PURCHASES].sum(axis=1)
    rows["accepted_campaigns"] = rows[ACCEPTED].sum(axis=1)
    rows["customer_days"] = (rows["Dt_Customer"].max() - rows["Dt_Customer"]).dt.days
    return rows


def transform(rows: pd.DataFrame) -> pd.DataFrame:
    encoder = OneHotEncoder(
        categories=list(CATEGORIES.values()), handle_unknown="ignore", sparse_output=False, dtype=np.int8
    )
    # As data frames, so that the ones and zeros stay bytes beside the doubles.
    columns = ColumnTransformer(
        [
            ("z", StandardScaler(), list(STANDARDISED.values())),
            ("01", MinMaxScaler(), list(SCALED.values())),
            ("is", encoder, list(CATEGORIES)),
        ]
    ).set_output(transform="pandas")
    features = columns.fit_transform(rows)
    return pd.concat([rows[["ID", *PLAIN]], features, rows[["Complain", "Response"]]], axis=1).set_axis(RESULT, axis=1)


def main() -> None:
    source, result = sys.argv[1:]
    features = transform(derive(clean(source)))
    features.to_parquet(result, index=False)
    print(features.shape)


if __name__ == "__main__":
    main()
