"""The job with PySpark's data frames: pyspark_dataframe.py SOURCE.csv RESULT SCRATCH

Constants are learned by aggregates and put into expressions; the result has the same columns and numbers as the others.
"""

import sys

from columns import ENCODED, PLAIN, SCALED, STANDARDISED
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark_session import open_session, read_clean


def fill_and_derive(rows: DataFrame) -> DataFrame:
    known = rows.agg(
        F.median("income").alias("income"), F.median("year_birth").alias("year"), F.max("enrolled").alias("newest")
    ).first()
    return rows.withColumns(
        {
            "income": F.coalesce("income", F.lit(known["income"])),
            "age": 2014 - F.coalesce("year_birth", F.lit(known["year"])),
            "customer_days": F.datediff(F.lit(known["newest"]), "enrolled"),
        }
    )


def transform(rows: DataFrame) -> DataFrame:
    fitted = rows.agg(
        *[F.avg(column).alias(f"{name}_mean") for name, column in STANDARDISED.items()],
        *[F.stddev_pop(column).alias(f"{name}_deviation") for name, column in STANDARDISED.items()],
        *[F.min(column).alias(f"{name}_min") for name, column in SCALED.items()],
        *[F.max(column).alias(f"{name}_max") for name, column in SCALED.items()],
    ).first()
    standardised = [
        ((F.col(column) - fitted[f"{name}_mean"]) / (fitted[f"{name}_deviation"] or 1)).alias(name)
        for name, column in STANDARDISED.items()
    ]
    scaled = [
        ((F.col(column) - fitted[f"{name}_min"]) / ((fitted[f"{name}_max"] - fitted[f"{name}_min"]) or 1)).alias(name)
        for name, column in SCALED.items()
    ]
    encoded = [(F.col(column) == value).cast("byte").alias(name) for name, (column, value) in ENCODED.items()]
    return rows.select("id", *PLAIN, *standardised, *scaled, *encoded, "complain", "response")


def main() -> None:
    source, result, scratch = sys.argv[1:]
    session = open_session(scratch)
    # Three passes over the rows: medians, other constants, result.
    rows = read_clean(session, source).cache()
    transform(fill_and_derive(rows)).write.mode("overwrite").parquet(result)
    session.stop()


if __name__ == "__main__":
    main()
