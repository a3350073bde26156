"""Models in SQL beside scikit-learn: coefficients, probabilities, metrics, versions, and what is said of mistakes."""

import json

import adbc_driver_flightsql.dbapi as flight_sql
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pipelines import query, store
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

ROWS = 3000


@pytest.fixture(scope="module")
def people(shared_connection):
    """People as a table in memory, with some rows of which a value is missing; here without those."""
    random = np.random.default_rng(3)
    people = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "income": np.exp(random.normal(10.5, 0.5, ROWS)),
            "age": random.integers(18, 90, ROWS),
            "member": random.random(ROWS) < 0.3,
            "region": random.choice(["north", "o'hara", "süd", "west"], ROWS, p=[0.4, 0.3, 0.2, 0.1]),
        }
    )
    score = 0.00004 * people.income - 0.03 * people.age + 1.2 * people.member + (people.region == "west")
    people["spent"] = 100 * score + random.normal(0, 40, ROWS)
    people["response"] = (random.random(ROWS) < 1 / (1 + np.exp(-score))).astype(int)
    people["grade"] = np.select([score < -1, score < 0.5], ["low", "middle"], "top")
    people.loc[random.random(ROWS) < 0.2, "grade"] = "middle"
    missing = people.head(30).copy()
    missing["id"] += ROWS
    missing["income"] = missing["income"].where(missing.index % 2 == 0, np.nan)
    missing["region"] = missing["region"].where(missing.index % 2 == 1, None)
    table = pa.Table.from_pandas(pd.concat([people, missing]), preserve_index=False)
    store(shared_connection, "people", table)
    yield people
    for name in query(shared_connection, "SELECT name FROM system.models")["name"]:
        query(shared_connection, f"DROP MODEL {name}")
    query(shared_connection, "DROP TABLE people")


def one_hot(people, drop_first=False):
    numbers = people[["income", "age"]].assign(member=people.member.astype(float)).astype(float)
    regions = pd.get_dummies(people.region, drop_first=drop_first).astype(float)
    return pd.concat([numbers, regions], axis=1).to_numpy()


def make(connection, name, columns, **options):
    said = ", ".join(f"{key} '{value}'" for key, value in options.items())
    answer = query(connection, f"CREATE OR REPLACE MODEL {name} OPTIONS ({said}) AS SELECT {columns} FROM people")
    return dict(zip(answer["what"], answer["value"], strict=True))


def coefficients(connection, name):
    return query(connection, f"DESCRIBE MODEL {name}")


def refused(connection, sql):
    with pytest.raises(flight_sql.Error) as error:
        query(connection, sql)
    return str(error.value)


FEATURES = "income, age, member, region"


def test_a_linear_regression_is_that_of_least_squares(shared_connection, people):
    answer = make(shared_connection, "spending", f"{FEATURES}, spent", type="linear_regression", label="spent")
    assert (answer["version"], answer["rows"], answer["rows left out"]) == ("1", str(ROWS), "30")
    x, y = one_hot(people, drop_first=True), people.spent.to_numpy()
    design = np.column_stack([np.ones(ROWS), x])
    expected = np.linalg.lstsq(design, y, rcond=None)[0]
    rest = y - design @ expected
    errors = np.sqrt(rest @ rest / (ROWS - design.shape[1]) * np.diag(np.linalg.inv(design.T @ design)))
    found = coefficients(shared_connection, "spending")
    assert list(found["term"]) == ["intercept", "income", "age", "member", "region=o'hara", "region=süd", "region=west"]
    np.testing.assert_allclose(found["coefficient"], expected, rtol=1e-8)
    np.testing.assert_allclose(found["standard_error"], errors, rtol=1e-7)
    np.testing.assert_allclose(found["t"], expected / errors, rtol=1e-7)
    fit = LinearRegression().fit(x, y)
    assert float(answer["r2"]) == pytest.approx(fit.score(x, y), rel=1e-9)
    assert float(answer["mae"]) == pytest.approx(metrics.mean_absolute_error(y, fit.predict(x)), rel=1e-9)
    predicted = query(shared_connection, f"SELECT predict(spending) AS p FROM people WHERE id < {ROWS} ORDER BY id")
    np.testing.assert_allclose(predicted["p"], fit.predict(x), rtol=1e-8)
    unknown = query(shared_connection, f"SELECT count(predict(spending)) AS n FROM people WHERE id >= {ROWS}")
    assert unknown["n"][0] == 0, "a feature is missing, and so is the prediction"


def test_a_ridge_regression_is_that_of_scikit_learn(shared_connection, people):
    make(shared_connection, "ridge", f"{FEATURES}, spent", type="linear_regression", label="spent", alpha=50)
    fit = Ridge(alpha=50, solver="cholesky").fit(one_hot(people), people.spent)
    found = coefficients(shared_connection, "ridge")["coefficient"]
    np.testing.assert_allclose(found, [fit.intercept_, *fit.coef_], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("weights", [None, "balanced"])
def test_a_logistic_regression_is_that_of_scikit_learn(shared_connection, people, weights):
    more = {"class_weights": weights} if weights else {}
    columns = f"{FEATURES}, response"
    answer = make(shared_connection, "responders", columns, type="logistic_regression", label="response", l2=2, **more)
    x, y = one_hot(people), people.response.to_numpy()
    scale = x.std(axis=0)
    # Its solver needs features of one size, whose penalty is then of another size.
    fit = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000, class_weight=weights, solver="newton-cholesky")
    fit.fit(x, y)
    found = coefficients(shared_connection, "responders")
    assert set(found["class"]) == {"1"}
    np.testing.assert_allclose(found["coefficient"], [*fit.intercept_, *fit.coef_[0]], rtol=1e-5, atol=1e-6 / scale.min())
    sql = f"SELECT predict_proba(responders, label => '1') AS p, predict(responders) AS c FROM people WHERE id < {ROWS}"
    predicted = query(shared_connection, f"{sql} ORDER BY id")
    np.testing.assert_allclose(predicted["p"], fit.predict_proba(x)[:, 1], rtol=1e-6, atol=1e-9)
    assert (predicted["c"] == fit.predict(x)).all()
    probability = predicted["p"]
    assert float(answer["roc_auc"]) == pytest.approx(metrics.roc_auc_score(y, probability), rel=1e-9)
    assert float(answer["accuracy"]) == pytest.approx((predicted["c"] == y).mean())
    confused = metrics.confusion_matrix(y, predicted["c"])
    assert float(answer["1 as 0"]) == confused[1, 0] and float(answer["0 as 1"]) == confused[0, 1]


@pytest.mark.parametrize("different", [None, 3], ids=["different rows", "three different rows"])
def test_a_start_at_a_sample_ends_where_all_rows_do(shared_connection, different):
    random = np.random.default_rng(5)
    rows = 520_000
    x = random.normal(3, 2, (rows, 2))
    if different:
        x = x[np.arange(rows) % different]
    c = (random.random(rows) < 1 / (1 + np.exp(-(x[:, 0] - 0.5 * x[:, 1] - 1)))).astype(int)
    store(shared_connection, "many", pa.table({"a": x[:, 0], "b": x[:, 1], "c": c}))
    options = "type 'logistic_regression', label 'c', l2 '2'"
    answer = query(shared_connection, f"CREATE MODEL of_many OPTIONS ({options}) AS SELECT a, b, c FROM many")
    found = query(shared_connection, "SELECT term, coefficient FROM system.model_coefficients WHERE model = 'of_many'")
    found = dict(zip(found["term"], found["coefficient"], strict=True))
    theirs = LogisticRegression(C=1 / 2, tol=1e-10, solver="newton-cholesky").fit(x, c)
    np.testing.assert_allclose([found["a"], found["b"]], theirs.coef_[0], rtol=1e-6)
    np.testing.assert_allclose(found["intercept"], theirs.intercept_[0], rtol=1e-6)
    if not different:
        said = dict(zip(answer["what"], answer["value"], strict=True))
        assert float(said["iterations"]) <= 4
    left = query(shared_connection, "SELECT table_name FROM information_schema.tables WHERE table_name LIKE '%sample%'")
    assert left.empty
    query(shared_connection, "DROP MODEL of_many")
    query(shared_connection, "DROP TABLE many")


def test_several_classes_are_those_of_scikit_learn(shared_connection, people):
    make(
        shared_connection,
        "grades",
        "age, member, region, CASE WHEN income > 0 THEN grade END AS grade",
        type="logistic_regression",
        label="grade",
    )
    x, y = one_hot(people)[:, 1:], people.grade
    fit = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000, solver="newton-cg").fit(x, y)
    found = query(shared_connection, f"SELECT predict_proba(grades) AS p FROM people WHERE id < {ROWS} ORDER BY id")["p"]
    found = np.array([[row[label] for label in fit.classes_] for row in found])
    np.testing.assert_allclose(found, fit.predict_proba(x), atol=1e-5)
    sql = f"SELECT predict_class(grades) AS c FROM people WHERE id < {ROWS} ORDER BY id"
    assert (query(shared_connection, sql)["c"] == fit.classes_[found.argmax(axis=1)]).all()


def test_naive_bayes_is_that_of_scikit_learn(shared_connection, people):
    answer = make(shared_connection, "bayes", f"{FEATURES}, grade", type="gaussian_nb", label="grade")
    x = one_hot(people)
    fit = GaussianNB().fit(x, people.grade)
    sql = f"SELECT predict_proba(bayes) AS p, predict(bayes) AS c FROM people WHERE id < {ROWS} ORDER BY id"
    found = query(shared_connection, sql)
    probabilities = np.array([[row[label] for label in fit.classes_] for row in found["p"]])
    np.testing.assert_allclose(probabilities, fit.predict_proba(x), atol=1e-6)
    assert (found["c"] == fit.predict(x)).all()
    assert float(answer["accuracy"]) == pytest.approx(fit.score(x, people.grade))


def test_clusters_are_where_scikit_learn_would_leave_them(shared_connection, people):
    columns = "age, income / 1000 AS k"
    answer = make(shared_connection, "groups", columns, type="kmeans", clusters=4, tolerance=0, seed=7)
    found = coefficients(shared_connection, "groups").pivot(index="class", columns="term", values="coefficient")
    centroids = found.loc[["0", "1", "2", "3"], ["age", "k"]].to_numpy()
    # Rows of which the region is missing count: it is no feature here.
    rows = query(shared_connection, f"SELECT {columns} FROM people WHERE income IS NOT NULL AND NOT isnan(income)")
    fit = KMeans(4, init=centroids, n_init=1, tol=0).fit(rows.to_numpy())
    np.testing.assert_allclose(fit.cluster_centers_, centroids, rtol=1e-9)
    assert float(answer["inertia"]) == pytest.approx(fit.inertia_, rel=1e-9)
    sql = f"SELECT predict(groups, age, income / 1000) AS c, predict_distance(groups, age, income / 1000) AS d FROM people"
    near = query(shared_connection, f"{sql} WHERE income IS NOT NULL AND NOT isnan(income)")
    assert (near["c"].value_counts().sort_index() == np.bincount(fit.labels_)).all()
    assert (near["d"] ** 2).sum() == pytest.approx(fit.inertia_, rel=1e-9)


def test_rows_are_held_out_by_a_hash_of_the_key(shared_connection, people):
    columns = f"id, {FEATURES}, spent"
    answer = make(shared_connection, "held", columns, type="linear_regression", label="spent", key="id", test=0.25)
    assert 0.7 * ROWS < int(answer["rows"]) < 0.8 * ROWS and answer["rows left out"] == "30"
    assert float(answer["test_r2"]) == pytest.approx(float(answer["r2"]), abs=0.1)
    assert "test_mae" in answer and "mae" not in answer
    assert "id" not in set(coefficients(shared_connection, "held")["term"]), "a key is no feature"


def test_a_plan_is_a_formula_of_columns(shared_connection, people):
    make(shared_connection, "spending", f"{FEATURES}, spent", type="linear_regression", label="spent")
    plan = "\n".join(query(shared_connection, "EXPLAIN SELECT id, predict(spending) FROM people").iloc[:, -1])
    assert "CASE WHEN" in plan and "model_feature" not in plan
    names = list(query(shared_connection, "SELECT id, predict(spending) FROM people LIMIT 1").columns)
    assert names == ["id", "predict(spending)"]


def test_versions_answer_as_asked(shared_connection, people):
    store(shared_connection, "line", pa.table({"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.0]}))
    options = "type 'linear_regression', label 'y', keep_versions '3'"
    query(shared_connection, f"CREATE OR REPLACE MODEL line_model OPTIONS ({options}) AS SELECT x, y FROM line")
    query(shared_connection, "CREATE OR REPLACE VIEW line_view AS SELECT predict(line_model, x + 10) AS p FROM line WHERE x = 0")
    query(shared_connection, "CACHE TABLE line_view")

    def now(sql="SELECT p FROM line_view"):
        return query(shared_connection, sql).iloc[0, 0]

    assert now() == pytest.approx(21)
    query(shared_connection, "UPDATE line SET y = y + 1")
    answer = query(shared_connection, "REFRESH MODEL line_model")
    assert dict(zip(answer["what"], answer["value"], strict=True))["version"] == "2"
    assert now() == pytest.approx(22), "a view, and what is kept of it, follow the model"
    assert now("SELECT predict(line_model, 10.0, version => 1)") == pytest.approx(21)
    query(shared_connection, "ALTER MODEL line_model SET VERSION 1")
    assert now() == pytest.approx(21)
    for _ in range(3):
        query(shared_connection, "REFRESH MODEL line_model FULL")
    kept = query(shared_connection, "SELECT version, cause, metrics FROM system.model_versions WHERE model = 'line_model'")
    assert list(kept["version"]) == [1, 3, 4, 5], "the three newest, and the one that answers"
    assert json.loads(kept["metrics"].iloc[-1])["served_rmse"] == pytest.approx(1), "it is wrong by 1 on today's rows"
    query(shared_connection, "ALTER MODEL line_model SET VERSION NEWEST")
    assert now() == pytest.approx(22)
    shown = query(shared_connection, "SHOW MODELS").set_index("name").loc["line_model"]
    assert (shown["type"], shown["version"], shown["rows"]) == ("linear_regression", 5, 3)
    query(shared_connection, "DROP MODEL line_model")
    assert "there is no model 'line_model'" in refused(shared_connection, "SELECT p FROM line_view")
    query(shared_connection, "DROP MODEL IF EXISTS line_model")
    query(shared_connection, "DROP VIEW line_view")
    query(shared_connection, "DROP TABLE line")


LINEAR = "type 'linear_regression', label 'spent'"


@pytest.mark.parametrize(
    "sql, said",
    [
        ("CREATE MODEL w OPTIONS (type 'forest', label 'a') AS SELECT 1 AS a", "there is no type of model 'forest'"),
        ("CREATE MODEL w OPTIONS (type 'kmeans') AS SELECT age FROM people", "a kmeans needs clusters"),
        (f"CREATE MODEL w OPTIONS ({LINEAR}) AS SELECT age FROM people", "has no column 'spent', which is the label"),
        (f"CREATE MODEL w OPTIONS ({LINEAR}) AS SELECT spent FROM people", "there is no feature to learn from"),
        (f"CREATE MODEL w OPTIONS ({LINEAR}) AS SELECT nobody FROM people", "nobody"),
        (f"CREATE MODEL w OPTIONS ({LINEAR}) AS SELECT current_date() AS day, spent FROM people", "column 'day' is a Date32"),
        (f"CREATE MODEL w OPTIONS ({LINEAR}) AS SELECT age, spent FROM people WHERE id < 0", "no rows"),
        (
            "CREATE MODEL w OPTIONS (type 'linear_regression', label 'grade') AS SELECT age, grade FROM people",
            "the label 'grade' of a linear_regression is a text",
        ),
        (
            "CREATE MODEL w OPTIONS (type 'gaussian_nb', label 'income') AS SELECT age, income FROM people",
            "which is no class",
        ),
        (
            "CREATE MODEL w OPTIONS (type 'gaussian_nb', label 'id') AS SELECT age, id FROM people",
            "more than 100 different values",
        ),
        (
            "CREATE MODEL w OPTIONS (type 'gaussian_nb', label 'g') AS SELECT age, 'one' AS g FROM people",
            "has 1 different values",
        ),
        (
            "CREATE MODEL w OPTIONS (type 'logistic_regression', label 'old', l2 '0') "
            "AS SELECT age, age > 50 AS old FROM people",
            "tell the classes apart",
        ),
        ("REFRESH MODEL nothing", "there is no model 'nothing'"),
        ("DROP MODEL nothing", "there is no model 'nothing'"),
        ("DESCRIBE MODEL nothing", "there is no model 'nothing'"),
        ("ALTER MODEL spending SET VERSION 99", "has no version 99"),
        ("SELECT predict(spendin) FROM people", "did you mean 'spending'?"),
        ("SELECT predict(spending, 1, 2) FROM people", "has 2 values for 4 features"),
        ("SELECT predict(spending) FROM (SELECT age FROM people)", "income"),
        (
            "SELECT predict(spending) FROM (SELECT 'much' AS income, age, member, region FROM people)",
            "the model wants a number for 'income'",
        ),
        ("SELECT predict_class(spending) FROM people", "needs a model that classifies"),
        ("SELECT predict_distance(spending) FROM people", "only k-means has a distance"),
    ],
)
def test_mistakes_say_what_to_do(shared_connection, people, sql, said):
    make(shared_connection, "spending", f"{FEATURES}, spent", type="linear_regression", label="spent")
    assert said in refused(shared_connection, sql)
    left = query(shared_connection, "SELECT table_name FROM system.tables WHERE starts_with(table_name, '__part')")
    assert left.empty
    assert "w" not in set(query(shared_connection, "SELECT name FROM system.models")["name"])


def test_rows_that_say_little_are_warned_of(shared_connection, people):
    columns = "age, 2 * age AS twice, 1.0 AS one, spent"
    answer = query(shared_connection, f"CREATE OR REPLACE MODEL little OPTIONS ({LINEAR}) AS SELECT {columns} FROM people")
    warnings = " ".join(answer[answer["what"] == "warning"]["value"])
    assert "twice" in warnings and "one" in warnings
    answer = query(shared_connection, f"CREATE OR REPLACE MODEL little OPTIONS ({LINEAR}) AS SELECT {columns} FROM people LIMIT 2")
    assert "rows" in " ".join(answer[answer["what"] == "warning"]["value"])
