"""`mlflow models serve` in a real process: a query's SQL and session is the request, the answer is the one the router gives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_assets.query_predictor import registration, training
from platform_assets.query_predictor.router import FIELDS, AskedQuery, Router
from platform_assets.query_predictor.threshold import Threshold
from platform_assets_tests.end_to_end.served import Served, serve
from platform_assets_tests.query_predictor.small_features import WEEK, write_week

NOON = "2026-02-24T12:00:00Z"
SESSION = {"user": "ann", "catalog": "hive", "schema": "sales", "clientInfo": None, "createTime": NOON}
LIGHT = {"query": "SELECT name FROM region WHERE id = 3", **SESSION}
HEAVY = {
    "query": "SELECT sum(l.x) FROM lineitem l JOIN orders o ON l.a = o.a WHERE l.x > 3 AND l.x < 9 AND o.y > 2 AND o.z <= 8",
    **SESSION,
}
FREE = {"query": "-- all of them\nshow TABLES", **SESSION}
HOSTILE = {
    "ten megabytes of text": "select " + "a + " * 2_500_000,
    "ten megabytes of one string": "select '" + "x" * 10_000_000 + "'",
    "5,000 nested brackets": "select " + "(" * 5_000 + "1" + ")" * 5_000,
    "null bytes": "select a\x00b from \x00 where \x00 = '\x00'",
    "an unpaired surrogate": "select '\ud800' from \udfff",
    "an unterminated literal": "select a, 'b from t join u where c in (1, 2, 3)",
    "an unterminated comment": "select a /* from t",
    "no SQL": "Hello! Could you show me last week's orders?",
}
# Of the clock, on a machine that others load too; of the processor the worst text takes a few.
SECONDS = 30.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a week in which `show` is a safe category, and heavy queries so rare that not everything is routed as one."""
    folder = tmp_path_factory.mktemp("model")
    options = write_week(folder / "week", heavy_odds=-9.0).options(folder / "model", plots=False, cv_folds=0)
    return training.train(options).folder


@pytest.fixture(scope="module")
def served(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    registration.pack(model, folder / "packed")
    with serve(str(folder / "packed"), folder, f"sqlite:///{folder}/mlflow.db") as server:
        yield server


@pytest.fixture(scope="module")
def router(model: Path) -> Router:
    return Router.open(model)


def ask(served: Served, *queries: dict[str, Any]) -> list[dict[str, Any]]:
    status, body = served.post({"inputs": list(queries)}, SECONDS)
    assert status == 200, body[-2_000:]
    return json.loads(body)["predictions"]


def routed(router: Router, *queries: dict[str, Any]) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [answer.document() for answer in router.route([AskedQuery.read(each, now) for each in queries])]


def test_queries_get_the_probability_route_and_reason_that_the_router_gives(served: Served, router: Router) -> None:
    light, heavy, free = answers = ask(served, LIGHT, HEAVY, FREE)
    assert answers == routed(router, LIGHT, HEAVY, FREE)
    assert (light["route"], light["reason"], heavy["route"], heavy["reason"]) == ("light", "model", "heavy", "model")
    assert 0 < light["probability"] < heavy["probability"] < 1
    assert (free["probability"], free["route"], free["reason"], free["category"]) == (
        None,
        "light",
        "zero_cost",
        "show",
    )
    assert ask(served, HEAVY) == [heavy], "alone as in a batch"


def test_every_answer_says_the_threshold_that_its_route_follows(served: Served, model: Path) -> None:
    light, heavy, free = answers = ask(served, LIGHT, HEAVY, FREE)
    assert {answer["threshold"] for answer in answers} == {Threshold.read(model).value}
    assert light["probability"] < light["threshold"] <= heavy["probability"]
    assert free["probability"] is None


def test_every_answer_says_how_old_the_history_is_that_it_knows(served: Served) -> None:
    later = {**HEAVY, "createTime": "2026-03-02T00:00:00+02:00"}
    # It ends with the week, at midnight before the Monday after.
    known = datetime(WEEK.year, WEEK.month, WEEK.day, tzinfo=UTC) + timedelta(days=7)
    ages = [(datetime.fromisoformat(each["createTime"]) - known).total_seconds() for each in (LIGHT, FREE, later)]
    assert [answer["snapshot_age_seconds"] for answer in ask(served, LIGHT, FREE, later)] == ages


def test_all_but_the_query_may_be_left_out(served: Served, router: Router) -> None:
    for left_out in FIELDS[1:-1]:
        partly = {name: value for name, value in HEAVY.items() if name != left_out}
        assert ask(served, partly) == routed(router, partly) == routed(router, {**HEAVY, left_out: None})
    [answer] = ask(served, {"query": HEAVY["query"]})
    [expected] = routed(router, {"query": HEAVY["query"]})
    assert (answer["route"], answer["reason"]) == (expected["route"], expected["reason"])
    assert answer["snapshot_age_seconds"] == pytest.approx(expected["snapshot_age_seconds"], abs=SECONDS)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_answered_as_the_router_does_and_so_is_the_next_query(
    text: str, served: Served, router: Router
) -> None:
    hostile = {**LIGHT, "query": text}
    began = time.monotonic()
    answers = ask(served, hostile)
    assert time.monotonic() - began < SECONDS
    assert answers == routed(router, hostile)
    assert ask(served, HEAVY) == routed(router, HEAVY)


def test_texts_of_null_bytes_alone_are_answered_without_being_parsed(served: Served) -> None:
    [answer] = ask(served, {**LIGHT, "query": "\x00" * 1_000})
    assert answer["reason"].startswith("fallback_")
    assert 0 <= answer["probability"] <= 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"user": "ann"}, "query 2 of 3: has no `query`; a query has the fields query, user"),
        ({**LIGHT, "query": None}, "query 2 of 3: `query` is None; write a text"),
        ({**LIGHT, "query": 3}, "`query` is 3; write a text"),
        ({**LIGHT, "user": ["ann"]}, "`user` is ['ann']; write a text"),
        ({**LIGHT, "createTime": "yesterday"}, "`createTime` is 'yesterday'; write it as 2026-01-05T12:00:00Z"),
        ({**LIGHT, "createTime": "1900-01-01T00:00:00Z"}, "outside the years 1970 to 2199"),
        ({**LIGHT, "cpuTime": 3.0}, "has the unknown field 'cpuTime'; a query has the fields query, user"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused_by_field_and_the_next_is_answered(
    query: dict[str, Any], said: str, served: Served, router: Router
) -> None:
    status, body = served.post({"inputs": [LIGHT, query, {**LIGHT, "query": "x" * 10_000}]})
    assert status == 400, body
    assert said in json.loads(body)["message"]
    assert len(body) < 500, "an answer does not repeat the request"
    assert ask(served, HEAVY) == routed(router, HEAVY)


def test_something_else_than_queries_is_refused_and_the_next_query_is_answered(served: Served, router: Router) -> None:
    for document in ({"rows": [LIGHT]}, {"inputs": ["SELECT 1"]}, {"inputs": 3}, []):
        status, body = served.post(document)
        assert status == 400, body
    assert ask(served, HEAVY) == routed(router, HEAVY)
