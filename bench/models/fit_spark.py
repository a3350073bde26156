"""Fits with Spark's ML on rows in memory: fit_spark.py FILE.parquet REPEAT. Prints JSON like fit_sklearn.py."""

import json
import os
import sys
import time

from pyspark import StorageLevel
from pyspark.ml.classification import LogisticRegression, NaiveBayes
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import SparkSession
from rows import names


def main() -> None:
    cores = os.cpu_count()
    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.memory", "8g")
        .config("spark.sql.shuffle.partitions", str(4 * cores))
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    rows = VectorAssembler(inputCols=names(), outputCol="x").transform(session.read.parquet(sys.argv[1])).select("x", "y", "c")
    rows = rows.persist(StorageLevel.MEMORY_ONLY)
    count = rows.count()
    fits = {
        "linear": lambda: LinearRegression(featuresCol="x", labelCol="y", solver="normal").fit(rows),
        # Its penalty is of the mean loss and half as large, as in scikit-learn.
        "logistic": lambda: LogisticRegression(
            featuresCol="x", labelCol="c", regParam=1.0 / count, standardization=False, tol=1e-8, maxIter=200
        ).fit(rows),
        "bayes": lambda: NaiveBayes(featuresCol="x", labelCol="c", modelType="gaussian").fit(rows),
    }
    found = {}
    for name, fit in fits.items():
        seconds = []
        for _ in range(int(sys.argv[2])):
            started = time.perf_counter()
            model = fit()
            seconds.append(time.perf_counter() - started)
        coefficients = model.theta.toArray()[0] if name == "bayes" else model.coefficients.toArray()
        found[name] = {"seconds": seconds, "coefficients": list(coefficients)}
    print(json.dumps(found))
    session.stop()


main()
