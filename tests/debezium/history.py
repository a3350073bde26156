"""Random transactions on the tables of the shop."""

from psycopg import sql
from shop import TABLES


class Abandoned(Exception):
    """A transaction, or a part of it, that is rolled back."""


def run(postgres, random, transactions):
    """Runs transactions one after the other: of several statements, rolled back in whole or in part at times."""
    for _ in range(transactions):
        try:
            with postgres.transaction():
                for _ in range(random.choice([1, 1, 2, 8])):
                    if random.random() < 0.1:
                        rolled_back(postgres, random)
                    else:
                        statement(postgres, random)
                if random.random() < 0.1:
                    raise Abandoned
        except Abandoned:
            pass


def rolled_back(postgres, random):
    """Statements inside of a transaction that goes on without them."""
    try:
        with postgres.transaction():
            statement(postgres, random)
            raise Abandoned
    except Abandoned:
        pass


def statement(postgres, random):
    table = random.choice(TABLES)
    kinds = [insert, insert, update, update, update, update_many, delete, change_key, replace]
    random.choice(kinds)(postgres, random, table)


def insert(postgres, random, table):
    """Inserts a row, or writes over the one that has the key."""
    values = {column: table.random_value(random, column) for column in table.columns}
    overwritten = random.sample(table.values, random.randrange(1, len(table.values) + 1))
    query = sql.SQL("INSERT INTO shop.{} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
        sql.SQL(", ").join(map(sql.Identifier, table.keys)),
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in overwritten),
    )
    postgres.execute(query, values)


def update(postgres, random, table):
    """Changes some values of a row, if there is one of the key."""
    changed = random.sample(table.values, random.randrange(1, min(4, len(table.values)) + 1))
    values = {column: table.random_value(random, column) for column in [*table.keys, *changed]}
    change(postgres, table, changed, table.keys, values)


def update_many(postgres, random, table):
    """Changes one value of the rows that have one column of the key in common."""
    column, key = random.choice(table.values), random.choice(table.keys)
    change(postgres, table, [column], [key], {name: table.random_value(random, name) for name in (column, key)})


def change(postgres, table, changed, keys, values):
    query = sql.SQL("UPDATE shop.{} SET {} WHERE {}").format(
        sql.Identifier(table.name), equal(", ", changed), equal(" AND ", keys)
    )
    postgres.execute(query, values)


def delete(postgres, random, table):
    values = {column: table.random_value(random, column) for column in table.keys}
    query = sql.SQL("DELETE FROM shop.{} WHERE {}").format(sql.Identifier(table.name), equal(" AND ", table.keys))
    postgres.execute(query, values)


def change_key(postgres, random, table):
    """Gives a row another key, if that is free."""
    values = {f"new_{column}": table.random_value(random, column) for column in [*table.keys, *table.with_key]}
    values |= {column: table.random_value(random, column) for column in table.keys}
    assignments = [
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(f"new_{column}"))
        for column in [*table.keys, *table.with_key]
    ]
    is_new = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(f"new_{column}")) for column in table.keys
    )
    query = sql.SQL("UPDATE shop.{0} SET {1} WHERE {2} AND NOT EXISTS (SELECT FROM shop.{0} WHERE {3})").format(
        sql.Identifier(table.name), sql.SQL(", ").join(assignments), equal(" AND ", table.keys), is_new
    )
    postgres.execute(query, values)


def replace(postgres, random, table):
    """Deletes a row and inserts another with the same key at once."""
    values = {column: table.random_value(random, column) for column in table.columns}
    query = sql.SQL("DELETE FROM shop.{} WHERE {}").format(sql.Identifier(table.name), equal(" AND ", table.keys))
    postgres.execute(query, values)
    query = sql.SQL("INSERT INTO shop.{} ({}) VALUES ({})").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    postgres.execute(query, values)


def equal(separator, columns):
    pairs = [sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(column)) for column in columns]
    return sql.SQL(separator).join(pairs)
