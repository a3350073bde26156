"""What both PySpark variants share: the session, and the rows cleaned and derived."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

EDUCATION = ["2n Cycle", "Basic", "Graduation", "Master", "PhD"]
MARITAL = ["Divorced", "Married", "Other", "Single", "Together", "Widow"]
SPEND = ["MntWines", "MntFruits", "MntMeatProducts", "MntFishProducts", "MntSweetProducts", "MntGoldProds"]
PURCHASES = ["NumDealsPurchases", "NumWebPurchases", "NumCatalogPurchases", "NumStorePurchases"]
ACCEPTED = ["AcceptedCmp1", "AcceptedCmp2", "AcceptedCmp3", "AcceptedCmp4", "AcceptedCmp5"]
STANDARDISED = ["income", "age", "total_spend", "customer_days", "Recency"]
SCALED = [*PURCHASES, "NumWebVisitsMonth", "children"]
PLAIN = ["income", "age", "children", "total_spend", "total_purchases", "accepted_campaigns", "customer_days"]

TEXT_COLUMNS = {"Education", "Marital_Status", "Income", "Dt_Customer"}


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
    with open(source, encoding="utf-8") as file:
        names = file.readline().rstrip("\r\n").split("\t")
    schema = ", ".join(f"{name} {'STRING' if name in TEXT_COLUMNS else 'INT'}" for name in names)
    rows = session.read.csv(source, sep="\t", header=True, schema=schema).dropDuplicates()
    income = F.regexp_replace("Income", "[, ]", "").cast("double")
    marital = F.trim("Marital_Status")
    return rows.select(
        "ID",
        F.when(income != 666666, income).alias("income"),
        F.when(F.col("Year_Birth").between(1901, 2014), F.col("Year_Birth")).cast("double").alias("year_birth"),
        F.trim("Education").alias("education"),
        F.when(marital == "Alone", "Single").when(marital.isin(MARITAL), marital).otherwise("Other").alias("marital"),
        F.to_date(F.trim("Dt_Customer"), "dd-MM-yyyy").alias("enrolled"),
        "Recency",
        (F.col("Kidhome") + F.col("Teenhome")).alias("children"),
        _sum(SPEND).alias("total_spend"),
        _sum(PURCHASES).alias("total_purchases"),
        *PURCHASES,
        "NumWebVisitsMonth",
        _sum(ACCEPTED).alias("accepted_campaigns"),
        "Complain",
        "Response",
    )


def _sum(names: list[str]) -> Column:
    return sum((F.col(name) for name in names[1:]), F.col(names[0]))
