"""Statements that read no data, as Trino's clients send them, and what the recorder runs in their place.

DuckDB has no SHOW CATALOGS or SET SESSION; a stand-in asks its own catalogue for the same thing. What does not belong here:
anything that scans a table.
"""

from __future__ import annotations

from random import Random

from platform_assets.simulators.trino_cluster.writing import NO_WORK, Pen, Statement

TABLES = ("lineitem", "orders", "customer", "part", "partsupp", "supplier", "nation", "region")
_SETTINGS = ("query_max_run_time = '10m'", "join_distribution_type = 'AUTOMATIC'", "task_concurrency = 8")
_TABLES_OF = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'sales'"
_STAND_INS = (
    ("SHOW CATALOGS", "SELECT database_name FROM duckdb_databases()"),
    ("SHOW SCHEMAS", "SELECT schema_name FROM duckdb_schemas()"),
    ("SHOW TABLES", _TABLES_OF),
    ("SHOW COLUMNS", "DESCRIBE hive.sales.lineitem"),
    ("SHOW CREATE TABLE", "SELECT sql FROM duckdb_tables() WHERE schema_name = 'sales'"),
    ("SHOW STATS", "SELECT table_name, estimated_size FROM duckdb_tables()"),
    ("SHOW FUNCTIONS", "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_name LIKE 'date%'"),
    ("SHOW SESSION", "SELECT name, value FROM duckdb_settings()"),
    ("USE ", "SELECT 1"),
    ("SET SESSION", "SELECT 1"),
    ("RESET SESSION", "SELECT 1"),
)


def stand_in(text: str) -> str | None:
    """What DuckDB runs for a statement that only Trino has; None where the statement itself can be run."""
    return next((query for start, query in _STAND_INS if text.startswith(start)), None)


def looking_around(pen: Pen) -> Statement:
    """What a person or a client sends to find its way."""
    rng = pen.rng
    table = rng.choice(TABLES)
    text = rng.choices(_looks(rng, table), _LOOK_WEIGHTS)[0]
    kind = "DATA_DEFINITION" if text.startswith(("USE", "SET", "RESET")) else "DESCRIBE"
    return Statement(text, "metadata", NO_WORK, kind)


_LOOK_WEIGHTS = (2, 2, 5, 2, 3, 5, 1, 1, 1, 1, 3, 2, 1)


def _looks(rng: Random, table: str) -> tuple[str, ...]:
    schema = rng.choice(("sales", "sandbox"))
    return (
        "SHOW CATALOGS", "SHOW SCHEMAS FROM hive", f"SHOW TABLES FROM hive.{schema}", "SHOW TABLES LIKE '%order%'",
        f"SHOW COLUMNS FROM {table}", f"DESCRIBE hive.{schema}.{table}", f"SHOW CREATE TABLE hive.{schema}.{table}",
        f"SHOW STATS FOR {table}", "SHOW FUNCTIONS LIKE 'date%'", "SHOW SESSION LIKE 'query%'", f"USE hive.{schema}",
        f"SET SESSION {rng.choice(_SETTINGS)}", "RESET SESSION query_max_run_time",
    )  # fmt: skip


def cheap_select(pen: Pen) -> Statement:
    """Health checks of tools, and questions to the information schema."""
    text = pen.rng.choice((
        "SELECT 1", "SELECT 1", "SELECT current_timestamp", "SELECT current_user", "SELECT 'ping'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'sales'",
        f"SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{pen.rng.choice(TABLES)}'",
    ))  # fmt: skip
    return Statement(text, "constant" if "FROM" not in text else "information_schema", NO_WORK)


def explained(statement: Statement, analysed: bool) -> Statement:
    """EXPLAIN of a statement is free; EXPLAIN ANALYZE runs it."""
    if analysed:
        return Statement(
            f"EXPLAIN ANALYZE {statement.text}", f"analysed {statement.family}", statement.traits, "EXPLAIN"
        )
    return Statement(f"EXPLAIN {statement.text}", "explain", NO_WORK, "EXPLAIN")


MISTAKES = ("typing", "column", "table", "function")


def mistaken(statement: Statement, rng: Random) -> Statement:
    """The same statement with a slip that no engine accepts."""
    text, slip = statement.text, rng.choice(MISTAKES)
    if slip == "typing":
        text = text.replace("FROM", "FORM", 1)
    elif slip == "column":
        text = text.replace("SELECT ", "SELECT custmer_name, ", 1)
    elif slip == "table":
        text = text.replace("FROM ", "FROM dwh_", 1)
    else:
        text = text.replace("SELECT ", "SELECT to_monthname(current_date), ", 1)
    return Statement(text, "mistaken", NO_WORK, None if slip == "typing" else statement.query_type)
