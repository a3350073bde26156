"""Sums for models in SQL: beside numpy, and over a live table from what has changed."""

import numpy as np
import pytest
from pipelines import query

ROWS = 2000


@pytest.fixture(scope="module")
def data(shared_connection):
    """Random rows, some of which cannot be used, and the others as columns."""
    random = np.random.default_rng(5)
    x = 1e6 + random.normal(0, 3, ROWS)
    z = random.exponential(2, ROWS)
    y = 4 + 0.5 * x - 2 * z + random.normal(0, 0.1, ROWS)
    values = [f"({a!r}, {b!r}, {c!r})" for a, b, c in zip(x.tolist(), z.tolist(), y.tolist(), strict=True)]
    bad = ["(NULL, 1.0, 1.0)", "(1.0, 'NaN'::DOUBLE, 1.0)", "(1.0, 1.0, 'Infinity'::DOUBLE)"]
    with shared_connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE sums (x DOUBLE, z DOUBLE, y DOUBLE)")
        cursor.execute("INSERT INTO sums VALUES " + ", ".join(values + bad))
    return np.column_stack([x, z, y])


def test_covariances_are_those_of_numpy(shared_connection, data):
    found = query(shared_connection, "SELECT covar_matrix(x, z, y) AS c FROM sums")["c"][0]
    assert found["count"] == ROWS and found["left_out"] == 3
    np.testing.assert_allclose(found["means"], data.mean(axis=0), rtol=1e-12)
    matrix = np.array([list(row) for row in found["covariances"]])
    np.testing.assert_allclose(matrix, np.cov(data.T), rtol=1e-9)


def test_a_regression_has_its_errors(shared_connection, data):
    found = query(shared_connection, "SELECT linreg_stats(y, x, z) AS r FROM sums")["r"][0]
    centred = data - data.mean(axis=0)
    features, label = centred[:, :2], centred[:, 2]
    coefficients = np.linalg.lstsq(features, label, rcond=None)[0]
    rest = label - features @ coefficients
    variance = rest @ rest / (ROWS - 3)
    errors = np.sqrt(variance * np.diag(np.linalg.inv(features.T @ features)))
    np.testing.assert_allclose(found["coefficients"], coefficients, rtol=1e-9)
    np.testing.assert_allclose(found["standard_errors"], errors, rtol=1e-9)
    np.testing.assert_allclose(found["t"], coefficients / errors, rtol=1e-9)
    assert found["intercept"] == pytest.approx(data.mean(axis=0) @ [-coefficients[0], -coefficients[1], 1], rel=1e-6)
    assert found["r2"] == pytest.approx(1 - rest @ rest / (label @ label), rel=1e-9)


def test_groups_have_sums_of_their_own(shared_connection, data):
    sql = "SELECT z > 2 AS big, covar_matrix(x, y) AS c FROM sums WHERE z < 100 GROUP BY 1 ORDER BY 1"
    found = query(shared_connection, sql)
    big = data[:, 1] > 2
    for row, part in zip(found["c"], [data[~big], data[big]], strict=True):
        assert row["covariances"][0][1] == pytest.approx(np.cov(part[:, 0], part[:, 2])[0, 1], rel=1e-9)


@pytest.mark.parametrize(
    "call, said", [("covar_matrix('a')", "over numbers"), ("linreg_stats(x)", "at least 2 arguments")]
)
def test_what_cannot_be_summed_is_told(shared_connection, data, call, said):
    with pytest.raises(Exception, match=said):
        query(shared_connection, f"SELECT {call} FROM sums")


def test_sums_over_a_live_table_cost_what_has_changed(shared_connection, topics):
    """Random changes, read again and again: the sums are those of a copy, and only the changes were read for them."""
    random = np.random.default_rng(11)
    regression = "SELECT linreg_stats(y, x) AS r FROM live_sums WHERE x < 103"
    alive = {}

    def change(key, gone):
        if gone:
            alive.pop(key, None)
            return {"op": "delete", "id": key, "data": {"id": key}}
        op = "update" if key in alive else "insert"
        alive[key] = {"id": key, "x": 100 + random.normal(), "y": random.normal()}
        return {"op": op, "id": key, "data": alive[key]}

    first = [change(key, False) for key in range(3000)]
    topics.follow("live_sums", first, "id BIGINT, x DOUBLE, y DOUBLE", keyed=True)
    for _ in range(6):
        found = query(shared_connection, regression)["r"][0]
        assert found["count"] == sum(row["x"] < 103 for row in alive.values())
        query(shared_connection, "CREATE OR REPLACE TABLE copied_sums AS SELECT * FROM live_sums")
        copied = query(shared_connection, regression.replace("live_sums", "copied_sums"))["r"][0]
        np.testing.assert_allclose(found["coefficients"], copied["coefficients"], rtol=1e-9)
        np.testing.assert_allclose(found["intercept"], copied["intercept"], rtol=1e-9)
        keys = random.integers(0, 3200, 40).tolist()
        topics.send("live_sums", [change(key, random.random() < 0.4) for key in keys])
    plan = "\n".join(query(shared_connection, "EXPLAIN ANALYZE " + regression).iloc[:, -1])
    assert "KeptSumsExec" in plan and "shards_read_whole=0" in plan, plan
    query(shared_connection, "DROP TABLE copied_sums")
