"""What both PySpark variants share: the session, and the rows cleaned and derived."""

from pathlib import Path

from columns import ACCEPTED, CATEGORIES, PURCHASES, SPEND, source_types
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F


def open_session(scratch: str) -> SparkSession:
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "8g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.sql.ansi.enabled", "false")
        .config("spark.local.dir", scratch)
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    return session


def read_clean(session: SparkSession, source: str) -> DataFrame:
    """Reads with given types, which saves Spark the pass that would infer them."""
    schema = ", ".join(f"{name} {kind}" for name, kind in source_types(Path(source)).items())
    rows = session.read.csv(source, sep="\t", header=True, schema=schema).dropDuplicates()
    income = F.regexp_replace("Income", "[, ]", "").cast("double")
    marital = F.trim("Marital_Status")
    marital = F.when(marital == "Alone", "Single").when(marital.isin(CATEGORIES["marital"]), marital).otherwise("Other")
    return rows.select(
        F.col("ID").alias("id"),
        F.when(income != 666666, income).alias("income"),
        F.when(F.col("Year_Birth").between(1901, 2014), F.col("Year_Birth")).cast("double").alias("year_birth"),
        F.trim("Education").alias("education"),
        marital.alias("marital"),
        F.to_date(F.trim("Dt_Customer"), "dd-MM-yyyy").alias("enrolled"),
        "Recency",
        (F.col("Kidhome") + F.col("Teenhome")).alias("children"),
        _sum(SPEND).alias("total_spend"),
        _sum(PURCHASES).alias("total_purchases"),
        *PURCHASES,
        "NumWebVisitsMonth",
        _sum(ACCEPTED).alias("accepted_campaigns"),
        F.col("Complain").alias("complain"),
        F.col("Response").alias("response"),
    )


def _sum(names: list[str]) -> Column:
    return sum((F.col(name) for name in names[1:]), F.col(names[0]))
