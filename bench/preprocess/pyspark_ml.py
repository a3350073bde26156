"""The job with PySpark's ML pipeline, as its manual shows it: pyspark_ml.py SOURCE.csv RESULT SCRATCH

Its numbers differ a little from the others': the scaler divides by the sample deviation, the imputer's median is
approximate, and categories that were not named take part in the encoding. The result is one vector per row.
"""

import sys

from pyspark.ml import Pipeline
from pyspark.ml.feature import Imputer, MinMaxScaler, OneHotEncoder, StandardScaler, StringIndexer, VectorAssembler
from pyspark.sql import functions as F
from pyspark_session import PLAIN, SCALED, STANDARDISED, open_session, read_clean

CATEGORIES = ["education", "marital"]


def pipeline() -> Pipeline:
    indexes = [f"{name}_index" for name in CATEGORIES]
    encoded = [f"{name}_encoded" for name in CATEGORIES]
    return Pipeline(
        stages=[
            VectorAssembler(inputCols=STANDARDISED, outputCol="to_standardise"),
            StandardScaler(inputCol="to_standardise", outputCol="standardised", withMean=True),
            VectorAssembler(inputCols=SCALED, outputCol="to_scale"),
            MinMaxScaler(inputCol="to_scale", outputCol="scaled"),
            StringIndexer(inputCols=CATEGORIES, outputCols=indexes),
            OneHotEncoder(inputCols=indexes, outputCols=encoded, dropLast=False),
            VectorAssembler(inputCols=["standardised", "scaled", *encoded], outputCol="features"),
        ]
    )


def main() -> None:
    source, result, scratch = sys.argv[1:]
    session = open_session(scratch)
    rows = read_clean(session, source).cache()
    imputer = Imputer(strategy="median", inputCols=["income", "year_birth"], outputCols=["income", "year_birth"])
    filled = imputer.fit(rows).transform(rows)
    newest = rows.agg(F.max("enrolled")).first()[0]
    derived = filled.withColumns(
        {"age": 2014 - F.col("year_birth"), "customer_days": F.datediff(F.lit(newest), "enrolled")}
    )
    features = pipeline().fit(derived).transform(derived)
    features.select("ID", *PLAIN, "features", "Complain", "Response").write.mode("overwrite").parquet(result)
    session.stop()


if __name__ == "__main__":
    main()
