"""Categories of statements: what is told by the first words, and what never passes for free."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import categories
from platform_assets.query_predictor.categories import category

TEXTS = {
    "show": ("SHOW TABLES FROM hive.sales", "-- a\n/* b */ show create table t", "show stats for (select * from t)", "SHOW SESSION;"),
    "describe": ("DESCRIBE t", "desc hive.sales.t", "DESCRIBE INPUT stmt", "describe output stmt"),
    "use": ("USE hive.sales", "use sales;"),
    "set": ("SET SESSION join_distribution_type = 'BROADCAST'", "RESET SESSION a", "set role admin", "SET TIME ZONE 'UTC'"),
    "explain": ("EXPLAIN SELECT * FROM t", "explain (type distributed, format json) select 1", "/* x */ EXPLAIN DELETE FROM t"),
    "transaction": ("START TRANSACTION", "COMMIT", "rollback"),
    "prepare": ("PREPARE p FROM SELECT * FROM t", "DEALLOCATE PREPARE p"),
    "access": ("GRANT SELECT ON t TO ann", "REVOKE ALL PRIVILEGES ON t FROM ann", "deny select on t to ann"),
    "definition": ("CREATE TABLE t (a int)", "DROP TABLE t", "ALTER TABLE t ADD COLUMN b int", "CREATE VIEW v AS SELECT * FROM t",
                   "COMMENT ON TABLE t IS 'x'", "create or replace view v as table t", "CREATE SCHEMA s"),
    "select_without_table": ("SELECT 1", "select current_user, now()", "SELECT 'from t'", 'select "from" as a', "select 1 -- from t"),
    "select": ("SELECT * FROM t", "WITH a AS (SELECT 1) SELECT * FROM a", "(SELECT 1)", "TABLE t", "VALUES 1, 2", "select (table t)",
               "SELECT extract(year FROM now())", "select * from unnest(sequence(1, 1000000000))"),
    "insert": ("INSERT INTO t SELECT * FROM u", "insert into t values 1"),
    "create_as": ("CREATE TABLE t AS SELECT * FROM u", "create or replace table t with (format = 'ORC') as table u",
                  "CREATE TABLE IF NOT EXISTS t AS (SELECT 1)"),
    "change": ("UPDATE t SET a = 1", "DELETE FROM t", "MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "TRUNCATE TABLE t"),
    "explain_analyze": ("EXPLAIN ANALYZE SELECT * FROM t", "explain /* x */ analyze verbose select 1"),
    "execute": ("EXECUTE p USING 1", "execute immediate 'select * from t'"),
    "call": ("CALL system.sync_partition_metadata('a', 'b', 'FULL')",),
    "refresh": ("REFRESH MATERIALIZED VIEW v",),
    "procedure": ("ALTER TABLE t EXECUTE optimize", "alter table t execute optimize(file_size_threshold => '128MB')"),
    "analyze": ("ANALYZE t",),
    "several": ("SHOW TABLES; SELECT * FROM t", "USE a; SHOW TABLES", "EXPLAIN SELECT 1; SELECT * FROM t"),
    "unreadable": ("SHOW TABLES LIKE 'x", "select * from t where a = 'b"),
    "blank": ("", "  \n", "-- only a comment", "/* a */ ;"),
    "other": ('"show" tables', "'show'", "Hello, could you show me the orders?", "\x00show tables", "17"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_the_first_words_tell_the_category(name: str, text: str) -> None:
    assert category(text) == name


def test_every_category_is_tried_and_documented() -> None:
    assert set(TEXTS) == set(categories.NAMES)
    assert all(found.definition.endswith(".") for found in categories.CATEGORIES)
    assert len(categories.NAMES) == len(set(categories.NAMES))


@settings(deadline=None)
@given(st.sampled_from([(name, text) for name, texts in TEXTS.items() for text in texts if name not in ("unreadable", "other")]),
       st.text("abc';-*/\"", max_size=12))  # fmt: skip
def test_comments_before_it_hide_no_statement(found: tuple[str, str], noise: str) -> None:
    name, text = found
    # Neither mark of a comment: to take one out may make another.
    line, block = noise, noise.replace("*", "")
    assert category(f"-- {line}\n{text}") == name
    assert category(f"/* {block} */{text}") == name


@settings(deadline=None)
@given(st.sampled_from([text for name in categories.FREE_CANDIDATES for text in TEXTS[name]]),
       st.sampled_from([text for name in ("select", "insert", "create_as", "execute", "call") for text in TEXTS[name]]))  # fmt: skip
def test_a_query_behind_a_free_statement_is_not_free(free: str, query: str) -> None:
    assert category(f"{free.rstrip(';')}\n;{query}") == "several"


@settings(deadline=None)
@given(st.text(max_size=100))
def test_any_text_has_a_category(text: str) -> None:
    assert category(text) in categories.NAMES
