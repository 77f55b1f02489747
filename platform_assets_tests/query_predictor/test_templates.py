"""Templates: what makes no difference, what does, and that every text has one within bounded time."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import categories, sql_tokens
from platform_assets.query_predictor.templates import fingerprint, template, words
from platform_assets_tests.query_predictor.test_hostile_sql import HOSTILE

SAME = (
    ("select a from t where b = 1", "SELECT  a\nFROM t -- note\nWHERE b = 27;", "select a from T /* x */ where B=3.5 ; ;",
     "select a from t where b = -1", 'select "a" from "T" where b = 1e3'),
    ("select a from t where b in (1)", "select a from t where b in (1, 2, 3)", "select a from t where b in (-1, 2, +3)"),
    ("select a from t where b in ('x')", "select a from t where b in ('x', 'it''s', 'z')"),
    ("select a from t where d in (date '2026-01-01')", "select a from t where d in (DATE '2026-01-02', date '2026-01-03')"),
    ("select a from t where (b, c) in ((1, 'x'))", "select a from t where (b, c) in ((1, 'x'), (2, 'y'), (3, 'z'))"),
    ("insert into t values (1, 'a')", "insert into t values (1, 'a'), (-2, 'b'), (3, 'c')"),
    ("select a from t where b in (select c from u where d in (1))",
     "select a from t where b in (select c from u where d in (1, 2, 3))"),
    ("select a from t limit 10", "select a from t limit 20"),
    ("execute report using 1, 'x'", "EXECUTE report USING 2, 'y'"),
    ("explain select 1", "EXPLAIN (TYPE LOGICAL) select 2"),
    ("explain analyze select 1", "select 2"),
    ("select {{from}}", "select {{ until }}"),
)  # fmt: skip
DIFFERENT = (
    "select a from t", "select b from t", "select a from u", "select a, a from t", "select a - 1 from t", "select a from t limit 1",
    "select a from t where b in (1)", "select a from t where b in (c)", "select a from t where b in (c, d)",
    "select a from t where b not in (1)", "select a from t where b in (select c from t)",
    "select a from t where b in (select c, c from t)", "execute report", "execute other", "call system.sync('a')", "show tables",
    "show schemas", "explain select a from t", "values (1)", "values (1, 2)", "values (1), ('a')", "select f(1, 1)", "select f(1)",
    "select 'unterminated", "", "select (1, 1), (1, 1)",
)  # fmt: skip


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: texts[0])
def test_what_changes_from_run_to_run_makes_no_difference(texts: tuple[str, ...]) -> None:
    found = {text: words(sql_tokens.read(text)) for text in texts}
    assert len({template(text) for text in texts}) == 1, found


def test_what_makes_another_query_makes_another_template() -> None:
    found: dict[str, str] = {}
    for text in DIFFERENT:
        assert template(text) not in found, (text, found[template(text)])
        found[template(text)] = text


TOKENS = st.sampled_from(
    ["SELECT", "a", "t1", '"Q x"', "FROM", "WHERE", "IN", "(", ")", ",", "1", "2.5", "'s'", "=", "-", "VALUES", "AND", "[", "]",
     "case", "end", "not", "||", "date"]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(TOKENS, max_size=40), st.randoms(use_true_random=False))
def test_literals_case_blanks_and_comments_never_matter(tokens: list[str], chance: random.Random) -> None:
    def other(token: str) -> str:
        if token[0].isdigit():
            return str(chance.randrange(10**6))
        if token[0] == "'":
            return f"'{'x' * chance.randrange(5)}'"
        return chance.choice((token.upper(), token.lower())) if token[0] != '"' else token

    gaps = (" ", "\n\t", " /* in ( 1, 2 ) */ ", " -- 'note\n", "  ")
    again = "".join(other(token) + chance.choice(gaps) for token in tokens)
    assert template(" ".join(tokens)) == template(again)


def oracle(elements: list[str]) -> list[str]:
    """Each different element once, in the order of first appearance."""
    return list(dict.fromkeys(elements))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["1", "a", "'x'", "f(1, 2)", "date '2026-01-01'", "(1, 2)", "x[1]", "1 + 2"]), min_size=1)
)
def test_a_list_counts_its_different_elements_once(elements: list[str]) -> None:
    long, short = (f"select 1 where a in ({', '.join(found)}) and b" for found in (elements, oracle(elements)))
    assert template(long) == template(short)


@settings(deadline=None)
@given(st.text(max_size=200))
@example("execute q using 'a', 1;")
@example("show tables in (2, 3) -- why")
def test_any_text_has_one_template_whoever_knows_its_words(text: str) -> None:
    found, read = template(text), sql_tokens.read(text)
    plain = sql_tokens.normalised(read.tokens)
    assert found == template(text) == fingerprint(read, plain)
    assert plain == sql_tokens.normalised(read.tokens)
    assert len(found) == 32
    assert int(found, 16) >= 0


@pytest.mark.parametrize("text", [text for text, _ in HOSTILE.values()], ids=HOSTILE)
def test_a_hostile_text_has_a_template_and_a_category_soon_after_its_tokens(text: str) -> None:
    read = sql_tokens.read(text)
    began = time.process_time()
    assert len(fingerprint(read)) == 32
    assert categories.category_of(text, read) in categories.NAMES
    assert time.process_time() - began < 4


def test_lists_nested_in_lists_take_no_longer_than_their_tokens() -> None:
    began = time.process_time()
    template("select " + "1, a in (" * 60_000 + "1" + ")" * 60_000)
    assert time.process_time() - began < 8


def test_another_process_finds_the_same_templates() -> None:
    texts = ("select a from t where b in (1, 2)", "select '", "show tables")
    program = (
        f"from platform_assets.query_predictor.templates import template\nprint([template(text) for text in {texts!r}])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"})
    assert done.stdout.strip() == str([template(text) for text in texts])
