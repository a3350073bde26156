"""Runs pipelines over a connection, and compares what comes out."""

import json

import adbc_driver_flightsql.dbapi as flight_sql
import numpy as np
import pytest

TOLERANCE = 1e-9


def query(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetch_arrow_table().to_pandas()


def store(connection, name, table):
    """Rows of Arrow as a table in memory."""
    with connection.cursor() as cursor:
        cursor.adbc_ingest(name, table, mode="replace")


def text(value):
    return "'" + value.replace("'", "''") + "'"


def spec_of(name, steps, source="raw", **more):
    """A pipeline; JSON is YAML."""
    source = {"table": source} if isinstance(source, str) else source
    return {"name": name, "source": source, "steps": steps, "output": [{"table": f"{name}_out"}]} | more


def run(connection, name, steps, source="raw", order="id", **more):
    """Runs a pipeline and gives its rows in order, and its report."""
    spec = spec_of(name, steps, source, **more)
    report = query(connection, f"RUN PIPELINE {text(json.dumps(spec))}")
    return query(connection, f"SELECT * FROM {name}_out ORDER BY {order}"), report


def refused(connection, name, steps, source="raw", **more):
    """What is said about a pipeline that cannot be run."""
    with pytest.raises(flight_sql.Error) as error:
        query(connection, f"RUN PIPELINE {text(json.dumps(spec_of(name, steps, source, **more)))}")
    return str(error.value)


def apply(connection, name, source, view):
    query(connection, f"APPLY PIPELINE {name} TO {source} AS {view}")
    return query(connection, f"SELECT * FROM {view} ORDER BY id")


def applied(connection, name, source="raw"):
    """The same as a view over the table."""
    return apply(connection, name, source, f"{name}_view")


def equal(actual, expected, floor=0.0, tolerance=TOLERANCE, what=""):
    """Relative to the values, and to the largest of them where they cancel out. What is below `floor` is 0."""
    actual, expected = np.asarray(actual, dtype="float64"), np.asarray(expected, dtype="float64")
    known = np.abs(expected[np.isfinite(expected)])
    scale = min(1.0, known.max()) if known.size else 1.0
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale + floor, err_msg=what)


def tables(connection):
    """Names of all tables and views, those in between too."""
    return set(query(connection, "SELECT table_name FROM system.tables")["table_name"])


def versions(connection, name):
    return list(query(connection, f"SELECT version FROM system.pipelines WHERE name = '{name}'")["version"])
