"""The job with Polars: polars_features.py SOURCE.csv RESULT.parquet"""

import sys

import polars as pl
from columns import ACCEPTED, CATEGORIES, ENCODED, PURCHASES, RESULT, SCALED, SPEND, STANDARDISED


def clean(source: str) -> pl.LazyFrame:
    rows = pl.scan_csv(source, separator="\t", schema_overrides={"Income": pl.String}).unique()
    income = pl.col("Income").str.replace_all("[, ]", "").cast(pl.Float64, strict=False)
    year = pl.col("Year_Birth")
    marital = pl.col("Marital_Status").str.strip_chars().replace("Alone", "Single")
    return rows.select(
        pl.col("ID").alias("id"),
        pl.when(income != 666666).then(income).alias("income"),
        pl.when(year.is_between(1901, 2014)).then(year).cast(pl.Float64).alias("year_birth"),
        pl.col("Education").str.strip_chars().alias("education"),
        pl.when(marital.is_in(CATEGORIES["marital"])).then(marital).otherwise(pl.lit("Other")).alias("marital"),
        pl.col("Dt_Customer").str.strip_chars().str.to_date("%d-%m-%Y").alias("enrolled"),
        "Recency",
        (pl.col("Kidhome") + pl.col("Teenhome")).alias("children"),
        pl.sum_horizontal(SPEND).alias("total_spend"),
        pl.sum_horizontal(PURCHASES).alias("total_purchases"),
        *PURCHASES,
        "NumWebVisitsMonth",
        pl.sum_horizontal(ACCEPTED).alias("accepted_campaigns"),
        pl.col("Complain").alias("complain"),
        pl.col("Response").alias("response"),
    )


def fill_and_derive(rows: pl.LazyFrame) -> pl.LazyFrame:
    enrolled, year = pl.col("enrolled"), pl.col("year_birth")
    return rows.with_columns(
        pl.col("income").fill_null(pl.col("income").median()),
        (2014 - year.fill_null(year.median())).alias("age"),
        (enrolled.max() - enrolled).dt.total_days().alias("customer_days"),
    )


def transform(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(
        *[_standardised(pl.col(column)).alias(name) for name, column in STANDARDISED.items()],
        *[_scaled(pl.col(column)).alias(name) for name, column in SCALED.items()],
        *[(pl.col(column) == value).cast(pl.Int8).alias(name) for name, (column, value) in ENCODED.items()],
    ).select(RESULT)


def _standardised(column: pl.Expr) -> pl.Expr:
    return (column - column.mean()) / column.std(ddof=0).replace(0, 1)


def _scaled(column: pl.Expr) -> pl.Expr:
    return (column - column.min()) / (column.max() - column.min()).replace(0, 1)


def main() -> None:
    source, result = sys.argv[1:]
    transform(fill_and_derive(clean(source))).sink_parquet(result, engine="streaming")


if __name__ == "__main__":
    main()
