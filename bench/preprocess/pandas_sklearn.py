"""The job with pandas and scikit-learn: pandas_sklearn.py SOURCE.csv RESULT.parquet"""

import sys

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

EDUCATION = ["2n Cycle", "Basic", "Graduation", "Master", "PhD"]
MARITAL = ["Divorced", "Married", "Other", "Single", "Together", "Widow"]
SPEND = ["MntWines", "MntFruits", "MntMeatProducts", "MntFishProducts", "MntSweetProducts", "MntGoldProds"]
PURCHASES = ["NumDealsPurchases", "NumWebPurchases", "NumCatalogPurchases", "NumStorePurchases"]
ACCEPTED = ["AcceptedCmp1", "AcceptedCmp2", "AcceptedCmp3", "AcceptedCmp4", "AcceptedCmp5"]
STANDARDISED = ["income", "age", "total_spend", "customer_days", "Recency"]
SCALED = [*PURCHASES, "NumWebVisitsMonth", "children"]
PLAIN = ["income", "age", "children", "total_spend", "total_purchases", "accepted_campaigns", "customer_days"]


def clean(source: str) -> pd.DataFrame:
    rows = pd.read_csv(source, sep="\t", dtype={"Income": str}).drop_duplicates()
    income = pd.to_numeric(rows["Income"].str.replace(",", "").str.replace(" ", ""), errors="coerce")
    rows["Income"] = income.mask(income == 666666)
    rows["Year_Birth"] = rows["Year_Birth"].where(rows["Year_Birth"].between(1901, 2014))
    marital = rows["Marital_Status"].str.strip().replace("Alone", "Single")
    rows["Marital_Status"] = marital.where(marital.isin(MARITAL), "Other")
    rows["Education"] = rows["Education"].str.strip()
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
        categories=[EDUCATION, MARITAL], handle_unknown="ignore", sparse_output=False, dtype=np.int8
    )
    # As data frames, so that the ones and zeros stay bytes beside the doubles.
    columns = ColumnTransformer(
        [
            ("z", StandardScaler(), STANDARDISED),
            ("01", MinMaxScaler(), SCALED),
            ("is", encoder, ["Education", "Marital_Status"]),
        ]
    ).set_output(transform="pandas")
    features = columns.fit_transform(rows)
    return pd.concat([rows[["ID", *PLAIN]], features, rows[["Complain", "Response"]]], axis=1)


def main() -> None:
    source, result = sys.argv[1:]
    features = transform(derive(clean(source)))
    features.to_parquet(result, index=False)
    print(features.shape)


if __name__ == "__main__":
    main()
