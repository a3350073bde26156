"""The job with PySpark's ML pipeline, as its manual shows it: pyspark_ml.py SOURCE.csv RESULT SCRATCH

Its result has the same columns as the others, and its numbers differ a little: the imputer's median is approximate, and
the scaler divides by the deviation of a sample.
"""

import sys

from columns import CATEGORIES, PLAIN, SCALED, STANDARDISED, encoded_name
from pyspark.ml import Pipeline
from pyspark.ml.feature import Imputer, MinMaxScaler, OneHotEncoder, StandardScaler, StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark_session import open_session, read_clean

INDEXES = [f"{name}_index" for name in CATEGORIES]
ENCODED = [f"{name}_encoded" for name in CATEGORIES]


def fill_and_derive(rows: DataFrame) -> DataFrame:
    imputer = Imputer(strategy="median", inputCols=["income", "year_birth"], outputCols=["income", "year_birth"])
    newest = rows.agg(F.max("enrolled")).first()[0]
    return (
        imputer.fit(rows)
        .transform(rows)
        .withColumns({"age": 2014 - F.col("year_birth"), "customer_days": F.datediff(F.lit(newest), "enrolled")})
    )


def transform(rows: DataFrame) -> DataFrame:
    indexer = StringIndexer(inputCols=list(CATEGORIES), outputCols=INDEXES, stringOrderType="alphabetAsc")
    stages = [
        VectorAssembler(inputCols=list(STANDARDISED.values()), outputCol="to_standardise"),
        StandardScaler(inputCol="to_standardise", outputCol="standardised", withMean=True),
        VectorAssembler(inputCols=list(SCALED.values()), outputCol="to_scale"),
        MinMaxScaler(inputCol="to_scale", outputCol="scaled"),
        indexer,
        OneHotEncoder(inputCols=INDEXES, outputCols=ENCODED, dropLast=False),
        VectorAssembler(inputCols=["standardised", "scaled", *ENCODED], outputCol="features"),
    ]
    model = Pipeline(stages=stages).fit(rows)
    categories = zip(CATEGORIES, model.stages[stages.index(indexer)].labelsArray, strict=True)
    encoded = [encoded_name(column, label) for column, labels in categories for label in labels]
    numbers = [*STANDARDISED, *SCALED]
    feature = F.col("features")
    features = [feature[place].alias(name) for place, name in enumerate(numbers)]
    features += [feature[place].cast("byte").alias(name) for place, name in enumerate(encoded, len(numbers))]
    vectors = model.transform(rows).withColumn("features", vector_to_array("features"))
    return vectors.select("id", *PLAIN, *features, "complain", "response")


def main() -> None:
    source, result, scratch = sys.argv[1:]
    session = open_session(scratch)
    rows = read_clean(session, source).cache()
    transform(fill_and_derive(rows)).write.mode("overwrite").parquet(result)
    session.stop()


if __name__ == "__main__":
    main()
