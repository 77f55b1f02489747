"""Whatever is sent as SQL has a row, the same one every time, within bounded time and memory."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import sql_tokens
from platform_assets.query_predictor.features import SQL_NAMES
from platform_assets.query_predictor.sql_features import ParseStatus, featurise

# Of the processor, on a slow machine; what is seen is a fifth of it.
SECONDS = 8.0
MEMORY_MB = 1_500
LIST = ", ".join(map(str, range(100_000)))
HOSTILE = {
    "ten megabytes of text": ("select " + "a + " * 2_500_000, ParseStatus.CUT),
    "ten megabytes of one string": ("select '" + "x" * 10_000_000 + "'", ParseStatus.CUT),
    "ten megabytes of blanks": (" " * 10_000_000, ParseStatus.CUT),
    "5,000 nested brackets": ("select " + "(" * 5_000 + "1" + ")" * 5_000, ParseStatus.TOO_LARGE),
    "5,000 nested subqueries": ("select * from " + "(select * from " * 5_000 + "t" + ")" * 5_000, ParseStatus.TOO_LARGE),
    "brackets closed too often": ("())" * 300_000, ParseStatus.TOO_LARGE),
    "a million open brackets": ("(" * 1_000_000, ParseStatus.TOO_LARGE),
    "5,000 nested cases": ("select " + "case when a then " * 5_000 + "1" + " end" * 5_000, ParseStatus.TOO_LARGE),
    "9,000 nots": ("select " + "not " * 9_000 + "a", ParseStatus.TOO_LARGE),
    "9,000 minuses": ("select " + "- " * 9_000 + "a", ParseStatus.TOO_LARGE),
    "a list of 100,000": (f"select a from t where a in ({LIST})", ParseStatus.TOO_LARGE),
    "a list of 9,000": (f"select a from t where a in ({', '.join(map(str, range(9_000)))})", ParseStatus.PARSED),
    "200,000 lists in lists": ("select a in (" * 200_000, ParseStatus.CUT),
    "a chain of 9,900 conditions": ("select * from t where a" + " and a" * 9_900, ParseStatus.PARSED),
    "a chain of 3,000 subqueries": ("select 1 where true" + " and exists (select 1)" * 3_000, ParseStatus.PARSED),
    "6,000 joins without an ON": ("select * from t" + " join t" * 6_000, ParseStatus.TOO_LARGE),
    "30 joins of another dialect": ("select * from t" + " straight_join t" * 30, ParseStatus.TOO_LARGE),
    "30 joins of subqueries": ("select * from t" + " left join (select 1) x" * 30, ParseStatus.TOO_LARGE),
    "30 joins and one ON": ("select * from t" + " join t" * 30 + " on true", ParseStatus.TOO_LARGE),
    "a chain of 3,000 joins": ("select * from t" + " join t on true" * 3_000, ParseStatus.PARSED),
    "a chain of 4,900 cross joins": ("select * from t" + " cross join t" * 4_900, ParseStatus.PARSED),
    "a chain of 9,000 lambdas": ("select f(" + "x -> " * 9_000 + "1)", ParseStatus.PARSED),
    "5,000 indexes": ("select a" + "[1]" * 5_000, ParseStatus.TOO_LARGE),
    "arrays in arrays": ("select " + "array[" * 40 + "1" + "]" * 40, ParseStatus.TOO_LARGE),
    "dates of dates": ("select " + "date(" * 40 + "a" + ")" * 40, ParseStatus.TOO_LARGE),
    "a row of rows": ("select " + "row(1, (" * 25 + "a" + "))" * 25, ParseStatus.TOO_LARGE),
    "20,000 semicolons": (";" * 19_000, ParseStatus.PARSED),
    "200 differences of brackets": ("select " + " - ".join(["(a)"] * 200), ParseStatus.PARSED),
    "null bytes": ("select a\x00b from \x00 where \x00 = '\x00'", None),
    "only null bytes": ("\x00" * 1_000, None),
    "an unpaired surrogate": ("select '\ud800' from \udfff", None),
    "an unterminated string": ("select a, 'b from t join u where c in (1, 2, 3)", ParseStatus.UNTERMINATED),
    "an unterminated name": ('select a, "b from t', ParseStatus.UNTERMINATED),
    "an unterminated comment": ("select a /* from t", None),
    "a template": ("{% for a in b %} select {{ a }} {% endfor %}", None),
    "open placeholders": ("{{" * 100_000, ParseStatus.TOO_LARGE),
    "another dialect": ("SELECT TOP 5 [a b] FROM dbo.t WITH (NOLOCK) WHERE `x` = $1 AND @y # z", None),
    "no SQL": ("Hello! Could you show me last week's orders?", None),
}  # fmt: skip


def cpu_seconds(text: str) -> float:
    began = time.process_time()
    featurise(text)
    return time.process_time() - began


@pytest.mark.parametrize(("text", "status"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_have_a_row_that_says_how_they_were_read(text: str, status: ParseStatus | None) -> None:
    began = time.process_time()
    row = featurise(text)
    assert time.process_time() - began < SECONDS
    assert row.values.shape == (len(SQL_NAMES),)
    assert status in (None, row.status)
    found = dict(zip(SQL_NAMES, row.values.tolist(), strict=True))
    assert found["characters"] == len(text)
    assert found["parse_status"] == row.status
    assert not np.isinf(row.values).any()


def test_the_worst_of_them_fits_into_bounded_memory() -> None:
    program = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_MB} << 20,) * 2)\n"
        "from platform_assets.query_predictor.sql_features import featurise\n"
        "for text in ('select ' + 'a+' * 5_000_000, 'x in (' * 1_600_000):\n"
        "    print(featurise(text).status.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["CUT"] * 2), done.stderr[-500:]


@pytest.mark.parametrize(("opening", "middle", "closing"), [
    ("date(", "1", ")"), ("array[", "1", "]"), ("f(a, ", "1", ")"), ("bigint((", "1", "))"), ("(a) -> ", "1", ""),
    ("map(array[", "1", "])"), ("cast(row(", "1", ") as int)"), ("if[", "1", "]"), ("decimal(1, ", "1", ")"),
    ("case a when (", "1", ") then 1 end"), ("a in (select ", "1", ")"), ("interval (", "1", ")"), ("timestamp(a)(", "1", ")"),
    ("f(distinct ", "1", ")"), ("f() over (order by ", "1", ")"), ("x[1][1][", "1", "]"), ("{a: ", "1", "}"),
])  # fmt: skip
def test_no_depth_of_nesting_takes_long(opening: str, middle: str, closing: str) -> None:
    times = [cpu_seconds(f"select {opening * depth}{middle}{closing * depth}") for depth in range(2, 60, 3)]
    assert max(times) < SECONDS


def test_what_falls_back_still_has_what_tokens_tell_and_nothing_made_up() -> None:
    row = featurise("select a from t join u on 'b where c in (1, 2, 3) union all")
    listed = featurise(f"select a from t join u on a where a in ({LIST})")
    found = dict(zip(SQL_NAMES, listed.values.tolist(), strict=True))
    assert (found["largest_in_list"], found["joins"], found["selects"], found["is_read"]) == (100_000, 1, 1, 1)
    assert np.isnan(found["tables"])
    told = dict(zip(SQL_NAMES, row.values.tolist(), strict=True))
    assert (told["joins"], told["unions"], told["largest_in_list"], told["string_literals"]) == (1, 0, 0, 1)


def test_the_parser_writes_no_text_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert featurise("call secret.procedure('of mine')").status == ParseStatus.COMMAND
    assert caplog.records == []


def test_a_thread_and_a_deep_caller_read_what_any_other_reads() -> None:
    text = "select " + "f(" * (sql_tokens.DEEPEST - 1) + "1" + ")" * (sql_tokens.DEEPEST - 1)
    rows = []
    thread = threading.Thread(target=lambda: rows.append(featurise(text)))
    thread.start()
    thread.join()

    def called(depth: int) -> None:
        rows.append(featurise(text)) if not depth else called(depth - 1)

    called(400)
    assert [row.status for row in rows] == [ParseStatus.PARSED] * 2
    assert rows[0].values.tobytes() == rows[1].values.tobytes() == featurise(text).values.tobytes()


PIECES = st.sampled_from([
    "select", "from", "where", "(", ")", "[", "]", "{", "}", "{{", "}}", ",", ";", "'", '"', "--", "/*", "*/", "\n", "\x00",
    "with", "as", "union", "all", "case", "when", "then", "end", "in", "not", "like", "is", "null", "over", "join", "on",
    "group by", "order by", "limit", "date", "array", "row", "cast", "interval", "unnest", "explain", "analyze", "call",
    "create", "table", "insert into", "a", "t.b", "1", "1e", "0x", "X'", "U&'", "$$", "?", "@", "::", "->", ":=", "*", "%",
    "values", "exists", "between", "and", "match_recognize", "pivot", "grouping sets", "json_table", "é", "\ud800", "`",
])  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=40).map(" ".join) | st.text(max_size=200))
@example("explain")
@example("select" + " a[1]" * 50)
@settings(deadline=None, max_examples=600)
def test_any_text_has_one_row_and_it_is_the_same_again(text: str) -> None:
    began = time.process_time()
    first = featurise(text)
    assert time.process_time() - began < SECONDS
    assert first.values.tobytes() == featurise(text).values.tobytes()
    tree_free = first.values[~np.isnan(first.values)]
    assert (tree_free >= 0).all()


@given(st.lists(PIECES, max_size=30).map(" ".join))
@settings(deadline=None, max_examples=200)
def test_the_reader_that_accepts_everything_loses_no_character_that_counts(text: str) -> None:
    kept = "".join(token.text + "".join(token.comments) for token in sql_tokens.lexemes("x " + text))
    without = kept.replace("'", "").replace('"', "").replace(" ", "").replace("\n", "")
    assert without == ("x" + text).replace("'", "").replace('"', "").replace(" ", "").replace("\n", "")
