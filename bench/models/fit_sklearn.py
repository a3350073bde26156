"""Fits with scikit-learn on rows in memory: fit_sklearn.py FILE.parquet REPEAT. Prints JSON: seconds of each fit, and coefficients."""

import json
import sys
import time

import numpy as np
import pyarrow.parquet as pq
from rows import names
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB


def main() -> None:
    table = pq.read_table(sys.argv[1])
    x = np.column_stack([table[name].to_numpy() for name in names()])
    y, c = table["y"].to_numpy(), table["c"].to_numpy()
    del table
    # Newton's method, which is the fastest of its solvers here and needs no scaled columns.
    fits = {
        "linear": lambda: LinearRegression().fit(x, y),
        "logistic": lambda: LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8).fit(x, c),
        "bayes": lambda: GaussianNB().fit(x, c),
    }
    found = {}
    for name, fit in fits.items():
        seconds = []
        for _ in range(int(sys.argv[2])):
            started = time.perf_counter()
            model = fit()
            seconds.append(time.perf_counter() - started)
        coefficients = model.theta_[0] if name == "bayes" else model.coef_
        found[name] = {"seconds": seconds, "coefficients": np.ravel(coefficients).tolist()}
    print(json.dumps(found))


main()
