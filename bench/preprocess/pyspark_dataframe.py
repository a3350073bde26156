"""The job with PySpark's data frames: pyspark_dataframe.py SOURCE.csv RESULT SCRATCH

Constants are learned by aggregates and put into expressions; the result has the same columns and numbers as the others.
"""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark_session import EDUCATION, MARITAL, PLAIN, SCALED, STANDARDISED, open_session, read_clean


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
        *[F.avg(name).alias(f"{name}_mean") for name in STANDARDISED],
        *[F.stddev_pop(name).alias(f"{name}_deviation") for name in STANDARDISED],
        *[F.min(name).alias(f"{name}_min") for name in SCALED],
        *[F.max(name).alias(f"{name}_max") for name in SCALED],
    ).first()
    standardised = [
        ((F.col(name) - fitted[f"{name}_mean"]) / (fitted[f"{name}_deviation"] or 1)).alias(f"{name}_z")
        for name in STANDARDISED
    ]
    scaled = [
        ((F.col(name) - fitted[f"{name}_min"]) / ((fitted[f"{name}_max"] - fitted[f"{name}_min"]) or 1)).alias(
            f"{name}_01"
        )
        for name in SCALED
    ]
    education = [(F.col("education") == name).cast("byte").alias(f"education_{name}") for name in EDUCATION]
    marital = [(F.col("marital") == name).cast("byte").alias(f"marital_{name}") for name in MARITAL]
    return rows.select("ID", *PLAIN, *standardised, *scaled, *education, *marital, "Complain", "Response")


def main() -> None:
    source, result, scratch = sys.argv[1:]
    session = open_session(scratch)
    # Three passes over the rows: medians, other constants, result.
    rows = read_clean(session, source).cache()
    transform(fill_and_derive(rows)).write.mode("overwrite").parquet(result)
    session.stop()


if __name__ == "__main__":
    main()
