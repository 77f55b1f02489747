"""What is counted of a text, by planted texts and against a slow and obvious count of the same tree."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp, parse

from platform_assets.query_predictor.context_features import Context
from platform_assets.query_predictor.features import SQL_NAMES, TEXT
from platform_assets.query_predictor.sql_features import ParseStatus, fallbacks, featurise
from platform_assets.query_predictor.sql_tokens import normalised, read
from platform_assets.query_predictor.text_cache import TextCache
from platform_assets.query_predictor.text_rows import collector_paused, featurise_all, text_row
from platform_assets_tests.query_predictor.test_features import MONDAY_MIDNIGHT

TEXT_NAMES = {feature.name for feature in TEXT}


def named(text: str) -> dict[str, float]:
    return dict(zip(SQL_NAMES, featurise(text).values.tolist(), strict=True))


PLANTED = [
    ("select a, 'it''s' from t -- why\nwhere b = 1.5", {"lines": 2, "tokens": 10, "comments": 1, "comment_characters": 4,
     "string_literals": 1, "number_literals": 1, "longest_string": 4, "commas": 1, "statements": 1, "distinct_tokens": 10}),
    ('select "a b" from t;; select f((1))', {"quoted_identifiers": 1, "statements": 2, "bracket_depth": 2, "selects": 2}),
    ("select * from {{t}} where a = '{{b}}' and c = ?", {"parameters": 3, "parse_status": 0, "tables": 1}),
    ("select 1 from c.s.t a join S.T b on a.x = b.x, u left join t on true cross join t",
     {"tables": 5, "distinct_tables": 4, "joins": 4, "outer_joins": 1, "cross_joins": 2, "self_joins": 1, "most_joins": 4}),
    ("select 1 from t, unnest(t.a) cross join lateral (select 2)", {"unnests": 1, "cross_joins": 0, "joins": 2}),
    ("with x as (with y as (select 1 from t) select * from y) select * from x where exists (select 1 from x)",
     {"ctes": 2, "nested_with_depth": 2, "tables": 1, "selects": 4, "select_depth": 3, "where_subqueries": 1, "stars": 2,
      "unfiltered_selects": 1}),
    ("select 1 from t join u on t.a = u.a where t.b = 1 and (c < 2 or d between 3 and 4) and e in (1, 2, 3)",
     {"where_predicates": 4, "where_equalities": 1, "where_ranges": 2, "where_ors": 1,
      "largest_in_list": 3, "unfiltered_selects": 0}),
    ("select 1 from t where a like '%x' or a like 'x%' or regexp_like(a, 'x') or a like '_y' escape '!'",
     {"likes": 4, "leading_wildcard_likes": 2, "where_predicates": 4}),
    ("select count(*), count(distinct a), sum(b) filter (where c > 1) from t group by a, rollup (b, c) having count(*) > 1",
     {"aggregates": 4, "distinct_aggregates": 1, "group_bys": 1, "most_group_keys": 3, "grouping_sets": 1, "havings": 1,
      "where_predicates": 0, "stars": 0, "unfiltered_selects": 1}),
    ("select sum(a) over (partition by b order by c), sum(a) filter (where d) over (), max(a) from t order by 1 limit 7",
     {"windows": 2, "window_orders": 1, "aggregates": 1, "order_bys": 1, "row_limit": 7}),
    ("select t.*, a, case when a then 1 when b then 2 end, if(a, 1, 2), f(a), cast(a as int) from t fetch first 3 rows only",
     {"stars": 1, "conditionals": 2, "functions": 1, "row_limit": 3}),
    ("select distinct 1 union select 2 union all select 3 except select 4 intersect select 5",
     {"unions": 1, "union_alls": 1, "intersects_excepts": 2, "select_distincts": 1, "selects": 5}),
    ("select coalesce(a, null), nullif(a, b) from t where a is null and b is not null and c is distinct from d",
     {"coalesces": 1, "nullifs": 1, "null_literals": 1, "is_nulls": 1, "is_not_nulls": 1, "null_safe_comparisons": 1}),
    ("insert into t select * from u limit 4", {"is_insert": 1, "is_read": 0, "row_limit": 4, "tables": 2}),
    ("create or replace table t as select 1", {"is_create_as": 1}),
    ("create view t as select 1", {"is_create_as": 0, "is_read": 0}),
    ("refresh materialized view t", {"is_insert": 1}),
    ("delete from t where a = 1", {"is_change": 1}),
    ("call system.flush()", {"is_call": 1, "parse_status": ParseStatus.COMMAND}),
    ("execute q using 1", {"is_call": 1}),
    ("show tables", {"is_read": 0, "is_call": 0}),
    ("-- x\nexplain (type distributed) select 1 from t", {"is_read": 0, "selects": 1, "parse_status": 0, "comments": 1}),
    ("EXPLAIN ANALYZE VERBOSE select 1 from t", {"is_read": 1, "tables": 1, "parse_status": 0}),
    ("", {"parse_status": ParseStatus.BLANK, "tokens": 0, "joins": 0, "lines": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PLANTED, ids=[text[:40] for text, _ in PLANTED])
def test_planted_texts_have_the_planted_counts(text: str, expected: dict[str, float]) -> None:
    found = named(text)
    assert {name: found[name] for name in expected} == expected


NAMES = st.sampled_from(["a", "b", "c", "s.t", "t", "u", "x"])
VALUES = st.sampled_from(["1", "null", "'%z'", "a", "count(a)", "sum(distinct b)", "if(a, 1, 2)", "f(*)", "a.b"])


def conditions(queries: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    plain = st.builds(
        "{} {} {}".format, VALUES, st.sampled_from(["=", "<", ">=", "<>", "is distinct from", "like"]), VALUES
    )
    tested = st.builds("{} is {}null".format, VALUES, st.sampled_from(["", "not "]))
    among = st.builds("{} in ({})".format, VALUES, st.lists(VALUES, min_size=1, max_size=4).map(", ".join))
    below = st.builds("exists ({})".format, queries) | st.builds("a in ({})".format, queries)
    return st.lists(plain | tested | among | below, min_size=1, max_size=3).flatmap(
        lambda found: st.sampled_from([" and ", " or "]).map(lambda word: word.join(found))
    )


def wider(queries: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    select = st.builds(
        "select {}{} from {}{}{}".format,
        st.sampled_from(["", "distinct "]),
        st.lists(VALUES | st.just("*"), min_size=1, max_size=3).map(", ".join),
        NAMES | st.builds("({}) as q".format, queries),
        st.sampled_from(["", ", u", " left join t on a = b", " cross join c", " join u using (a), unnest(a)"]),
        st.just("") | st.builds(" where {}".format, conditions(queries)),
    )
    named_first = st.builds("with x as ({}) select * from x".format, queries)
    return select | named_first | st.builds("{} union all {}".format, select, select)


QUERIES = st.recursive(st.just("select a from t"), wider, max_leaves=6)


def slow_count(tree: exp.Expr) -> dict[str, float]:
    """Every node with its chain of ancestors, asked anew for each feature."""
    nodes = [(node, list(ancestors(node))) for node in tree.walk()]
    ctes = {node.alias for node, _ in nodes if isinstance(node, exp.CTE)}
    tables = [node for node, _ in nodes if isinstance(node, exp.Table)]
    stored = [".".join(part.name for part in node.parts) for node in tables if node.db or node.name not in ctes]
    below = [node for node, above in nodes if any(isinstance(one, exp.Where) for one in above)]
    selects = [(node, above) for node, above in nodes if isinstance(node, exp.Select)]
    return {
        "nodes": len(nodes),
        "tree_depth": max(len(above) + 1 for _, above in nodes),
        "tables": len(stored),
        "distinct_tables": len(set(stored)),
        "selects": len(selects),
        "select_depth": max(1 + sum(isinstance(one, exp.Select) for one in above) for _, above in selects),
        "joins": len(list(tree.find_all(exp.Join))),
        "columns": len(list(tree.find_all(exp.Column))),
        "nested_with_depth": max(sum(isinstance(one, exp.With) for one in above) for _, above in nodes),
        "where_subqueries": sum(isinstance(node, exp.Select) for node in below),
        "where_equalities": sum(isinstance(node, exp.EQ) for node in below),
        "where_ors": sum(isinstance(node, exp.Or) for node in below),
        "select_distincts": sum(node.args.get("distinct") is not None for node, _ in selects),
    }


def ancestors(node: exp.Expr):
    while node.parent:
        node = node.parent
        yield node


@given(QUERIES)
@settings(deadline=None, max_examples=150)
def test_the_walk_counts_what_a_slow_look_at_every_node_counts(text: str) -> None:
    (tree,) = parse(text, dialect="trino")
    assert tree
    expected, found = slow_count(tree), named(text)
    assert found["parse_status"] == ParseStatus.PARSED
    assert {name: found[name] for name in expected} == expected


@given(QUERIES, st.sampled_from(["/* join union where */", "-- select distinct (\n", "/* ' */"]))
@settings(deadline=None, max_examples=60)
def test_comments_count_for_nothing_but_text(text: str, comment: str) -> None:
    plain, commented = named(text), named(text.replace(" from ", f" {comment} from "))
    for name in set(plain) - {"characters", "lines", "comments", "comment_characters"}:
        assert plain[name] == commented[name] or math.isnan(plain[name]), name


def test_what_a_string_says_counts_for_nothing_but_its_length() -> None:
    plain, worded = named("select 'x' from t"), named("select 'x join u where y like ''%z'' -- union' from t")
    assert {n for n in SQL_NAMES if plain[n] != worded[n] and not math.isnan(plain[n])} <= TEXT_NAMES


def test_texts_of_one_template_have_the_same_words() -> None:
    texts = ("SELECT a FROM \"T\" WHERE b = 'x' AND c = 1", "select a from t -- more\n where b = 'y' and c = 22.5")
    words = [normalised(read(text).tokens) for text in texts]
    assert words[0] == words[1] == ["select", "a", "from", "t", "where", "b", "=", "''", "and", "c", "=", "0"]


def test_the_cache_gives_what_the_featuriser_gives_and_forgets_the_oldest() -> None:
    cache, texts = TextCache(capacity=2), ["select 1", "select 2 from t", "select 1", "show tables", "select 2 from t"]
    for text in texts:
        assert np.array_equal(cache.known(text).values, featurise(text).values, equal_nan=True)
    assert (cache.hits, cache.misses, len(cache)) == (1, 4, 2)
    row = cache.base_features("select 1", Context(MONDAY_MIDNIGHT, "hive"))
    assert row.shape == (78,)
    assert np.array_equal(row[:70], featurise("select 1").values, equal_nan=True)
    with pytest.raises(ValueError, match="read-only"):
        cache.known("select 1").values[0] = 7
    with pytest.raises(ValueError, match="capacity of 1"):
        TextCache(0)


def test_many_texts_over_processes_are_the_rows_of_one_after_another() -> None:
    texts = [f"select {number % 2_100} from t{number % 7}" for number in range(4_200)] + ["select '", "show tables", ""]
    together, alone = list(featurise_all(texts, processes=2)), list(featurise_all(texts))
    assert [row.values.tobytes() for row in together] == [row.values.tobytes() for row in alone]
    assert [row[1:] for row in together] == [row[1:] for row in alone]
    assert together[17].values.tobytes() == featurise(texts[17]).values.tobytes()
    found = fallbacks(row.status for row in together)
    assert found == {
        "parsed": 4_200,
        "command": 1,
        "refused": 0,
        "too_large": 0,
        "unterminated": 1,
        "cut": 0,
        "blank": 1,
    }
    assert list(featurise_all([])) == []


def test_the_collector_of_cycles_is_left_to_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is everybody's: what serves a query may not hold it off for the threads beside it."""
    for name in ("enable", "disable", "freeze", "unfreeze", "set_threshold", "collect"):
        monkeypatch.setattr(gc, name, lambda *_: pytest.fail("the collector was touched"))
    cache = TextCache()
    for text, _ in PLANTED:
        assert cache.known(text).values.tobytes() == featurise(text).values.tobytes()


def test_a_batch_leaves_the_collector_as_it_was_found() -> None:
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
        text_row("select a from t")
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="asked for"), collector_paused():
        raise RuntimeError("asked for")
    assert gc.isenabled()
    assert all(gc.isenabled() for _ in featurise_all(["select a from t"] * 3))
    gc.disable()
    try:
        assert not any(gc.isenabled() for _ in featurise_all(["select a from t"] * 3))
    finally:
        gc.enable()


def test_texts_read_one_after_another_leave_no_cycles() -> None:
    texts = [text for text, _ in PLANTED if featurise(text).status == ParseStatus.PARSED]
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(40):
            for text in texts:
                featurise(text)
        left = len(gc.get_objects()) - before
    finally:
        gc.enable()
    # A tree has some thirty nodes, each with a dictionary.
    assert left < 40 * len(texts) * 10
