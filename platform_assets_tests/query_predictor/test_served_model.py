"""The registered model as it is served: zero-cost first, then the model, a route and a reason; bad requests refused."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform_assets.query_predictor import registration, training
from platform_assets.query_predictor.model_files import ModelError
from platform_assets.query_predictor.onnx_model import OnnxModel
from platform_assets.query_predictor.router import AskedQuery, QueryError, Router
from platform_assets.query_predictor.split_features import NUMBERS
from platform_assets.query_predictor.threshold import Threshold
from platform_assets_tests.query_predictor.counted_reading import counted
from platform_assets_tests.query_predictor.small_features import TERMS, write_week

NOW = datetime(2026, 2, 24, 12, tzinfo=UTC)
ASKED = {
    "query": "SELECT sum(x) FROM lineitem JOIN orders ON a = b WHERE x > 3", "user": "ann", "catalog": "hive",
    "schema": "sales", "clientInfo": None, "createTime": "2026-02-24T00:00:00Z",
}  # fmt: skip

FIELDS_TOLD = (
    "a query has the fields query, user, catalog, schema, clientInfo, createTime, and only the first must be there"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("served")
    return training.train(write_week(place / "week").options(place / "model", plots=False, cv_folds=0)).folder


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import mlflow.pyfunc

    packed = tmp_path_factory.mktemp("packed") / "model"
    registration.pack(folder, packed)
    return mlflow.pyfunc.load_model(str(packed))


def test_zero_cost_categories_come_first_and_then_the_model(folder: Path, served: Any) -> None:
    threshold = Threshold.read(folder).value
    [free, asked] = served.predict([{**ASKED, "query": "  -- all of them\nSHOW tables"}, ASKED])
    assert free == {
        "probability": None, "threshold": threshold, "route": "light", "reason": "zero_cost", "snapshot_age_seconds": 86400.0,
        "category": "show",
    }  # fmt: skip
    assert (asked["reason"], asked["category"], asked["snapshot_age_seconds"]) == ("model", None, 86400.0)
    assert asked["threshold"] == threshold
    assert 0 < asked["probability"] < 1
    assert (
        list(free) == list(asked) == ["probability", "threshold", "route", "reason", "snapshot_age_seconds", "category"]
    )


def test_the_answer_is_that_of_served_features_onnx_and_the_frozen_threshold(folder: Path) -> None:
    from platform_assets.query_predictor.context_features import Context
    from platform_assets.query_predictor.history_snapshot import HistorySnapshot
    from platform_assets.query_predictor.served_features import ServedFeatures
    from platform_assets.query_predictor.text_terms import TermWeights

    terms = TermWeights.from_json((folder / "tfidf.json").read_text())
    features = ServedFeatures(HistorySnapshot.open(folder / "history"), terms)
    created = datetime(2026, 2, 24, tzinfo=UTC)
    row = features(ASKED["query"] or "", "ann", Context(created, "hive", "sales", None)).values
    assert len(row) == len(NUMBERS) + len(TERMS)
    score = OnnxModel(folder / "model.onnx").scores(row[None])
    [answer] = Router.open(folder).route([AskedQuery.read(ASKED, NOW)])
    assert answer.probability == float(score[0])
    assert answer.route == ("heavy" if Threshold.read(folder).routes(score)[0] else "light")


def test_a_query_is_answered_alike_alone_and_among_others(served: Any) -> None:
    asked = [{**ASKED, "query": f"SELECT {number} FROM lineitem WHERE a > {number}"} for number in range(60)]
    asked[3]["query"] = "SHOW tables"
    together = served.predict(asked)
    assert [served.predict([one])[0] for one in asked] == together


def test_an_unseen_text_is_tokenised_and_parsed_once_and_a_seen_one_never(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [ASKED["query"], "SHOW tables", "SELECT 'unterminated FROM t", "SELECT FROM WHERE ("]
    router, read = Router.open(folder), counted(monkeypatch)
    asked = [AskedQuery.read({**ASKED, "query": text}, NOW) for text in texts]
    answers = router.route(asked)
    assert [each.reason for each in answers] == ["model", "zero_cost", "fallback_unterminated", "fallback_refused"]
    assert read.tokenised == dict.fromkeys(texts, 1)
    assert read.parsed == dict.fromkeys([texts[0], texts[1], texts[3]], 1)
    assert router.route(asked) == answers
    assert set(read.tokenised.values()) == set(read.parsed.values()) == {1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT 'unterminated FROM t", "fallback_unterminated"), ("", "fallback_blank"),
        ("CALL system.run()", "fallback_command"), ("SELECT FROM WHERE (", "fallback_refused"),
    ],
)  # fmt: skip
def test_a_text_that_is_not_parsed_is_answered_and_the_reason_says_so(served: Any, text: str, reason: str) -> None:
    [answer] = served.predict([{**ASKED, "query": text}])
    assert answer["reason"] == reason
    assert 0 <= answer["probability"] <= 1


def test_both_routes_occur_on_either_side_of_the_threshold(folder: Path, tmp_path: Path) -> None:
    [answer] = Router.open(folder).route([AskedQuery.read(ASKED, NOW)])
    for name, value, route in (("on", answer.probability, "heavy"), ("above", 1.5, "light")):
        other = shutil.copytree(folder, tmp_path / name)
        document = json.loads((other / "threshold.json").read_text())
        (other / "threshold.json").write_text(json.dumps({**document, "value": float(np.float32(value))}))
        [answer] = Router.open(other).route([AskedQuery.read(ASKED, NOW)])
        assert (answer.threshold, answer.route) == (float(np.float32(value)), route)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query": None}, "`query` is None; write a text"),
        ({"query": 3}, "`query` is 3; write a text"),
        ({"user": 7}, "`user` is 7; write a text"),
        ({"createTime": "yesterday"}, "`createTime` is 'yesterday'; write it as 2026-01-05T12:00:00Z"),
        ({"createTime": "2026-01-05T12:00:00"}, "without a time zone"),
        ({"createTime": "1900-01-01T00:00:00Z"}, "outside the years 1970 to 2199; write it as 2026-01-05T12:00:00Z"),
        ({"createTime": "2200-01-01T00:00:00Z"}, "outside the years 1970 to 2199"),
        ({"createTime": "0001-01-01T00:00:00+14:00"}, "outside the years 1970 to 2199"),
        ({"createTime": "9999-12-31T23:59:59-14:00"}, "outside the years 1970 to 2199"),
        ({"cpuTime": 3.0}, f"has the unknown field 'cpuTime'; {FIELDS_TOLD}"),
        ({7: 3.0, "b": 1, "a": 1, "c": 1, "d": 1}, f"has the unknown fields '7', 'a', 'b' and 2 more; {FIELDS_TOLD}"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused_by_field(change: dict[Any, Any], reason: str) -> None:
    with pytest.raises(QueryError, match=re.escape(reason)):
        AskedQuery.read({**ASKED, **change}, NOW)


@pytest.mark.parametrize(
    "query",
    [{**ASKED, "user": ["u" * 10**6]}, {**ASKED, "x" * 10**6: 1}, {**ASKED, "createTime": "t" * 10**6}],
    ids=["value", "name", "time"],
)
def test_what_is_wrong_is_told_without_all_that_was_sent(query: dict[str, Any]) -> None:
    with pytest.raises(QueryError) as told:
        AskedQuery.read(query, NOW)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"query": None}, "query 7 of 10: `query` is None; write a text"),
        ({"user": "ann"}, f"query 7 of 10: has no `query`; {FIELDS_TOLD}"),
        ({**ASKED, "createTime": "yesterday"}, "query 7 of 10: `createTime` is 'yesterday'"),
    ],
)
def test_a_refused_batch_says_which_of_its_queries_is_wrong(served: Any, wrong: dict[str, Any], reason: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=re.escape(reason)):
        served.predict([*[ASKED] * 6, wrong, *[ASKED] * 3])


def test_a_table_tells_a_null_from_what_it_has_no_value_for(served: Any) -> None:
    import pandas as pd
    from mlflow.exceptions import MlflowException

    for nothing, reason in ((None, "query 2 of 2: `query` is None"), (np.nan, "query 2 of 2: has no `query`")):
        table = pd.DataFrame([ASKED, ASKED]).astype(object)
        table.loc[1, "query"] = nothing
        assert table["query"][1] is nothing
        with pytest.raises(MlflowException, match=re.escape(reason)):
            served.predict(table)


def test_a_query_of_a_time_that_the_history_covers_is_answered_and_its_age_is_negative(served: Any) -> None:
    day_before = {**ASKED, "createTime": "2026-02-22T00:00:00Z"}
    [answer] = served.predict([day_before])
    assert (answer["snapshot_age_seconds"], answer["reason"]) == (-86400.0, "model")


def test_what_is_left_out_is_missing_and_created_now(served: Any) -> None:
    assert AskedQuery.read({"query": "x"}, NOW) == AskedQuery("x", NOW)
    [answer] = served.predict([{"query": "SELECT 1 FROM t"}])
    now = (datetime.now(UTC) - datetime(2026, 2, 23, tzinfo=UTC)).total_seconds()
    assert answer["snapshot_age_seconds"] == pytest.approx(now, abs=60)


def test_a_table_and_the_scoring_server_answer_alike(served: Any) -> None:
    import pandas as pd
    from mlflow.pyfunc import scoring_server

    expected = served.predict([ASKED, {**ASKED, "user": "bob"}])
    table = pd.DataFrame([ASKED, {**ASKED, "user": "bob"}])
    assert served.predict(table) == expected
    times = table.assign(createTime=pd.to_datetime(table["createTime"]))
    assert served.predict(times) == expected
    body = json.dumps({"inputs": [ASKED, {**ASKED, "user": "bob"}]})
    answered = scoring_server.invocations(body, "application/json", served, served.metadata.get_input_schema())
    assert answered.status == 200
    assert json.loads(answered.response)["predictions"] == expected


def test_a_refusal_of_the_scoring_server_does_not_repeat_the_request(served: Any) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    body = json.dumps({"inputs": [{**ASKED, "query": "x" * 10_000}, {"user": "ann"}]})
    with pytest.raises(MlflowException) as refused:
        scoring_server.invocations(body, "application/json", served, None)
    assert refused.value.get_http_status_code() == 400
    said = json.loads(refused.value.serialize_as_json())
    assert said["message"] == f"query 2 of 2: has no `query`; {FIELDS_TOLD}"


def test_a_folder_that_is_not_whole_or_of_another_release_is_refused(folder: Path, tmp_path: Path) -> None:
    for number, name in enumerate(
        ("model.onnx", "threshold.json", "tfidf.json", "history/users.parquet", "config.json")
    ):
        torn = shutil.copytree(folder, tmp_path / str(number))
        (torn / name).unlink()
        with pytest.raises(ModelError, match=r"train it again|platform_assets\.query_predictor\.training wrote"):
            Router.open(torn)
    other = shutil.copytree(folder, tmp_path / "other")
    document = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**document, "numbers": document["numbers"][::-1]}))
    with pytest.raises(ModelError, match="trained on other features than this release makes"):
        Router.open(other)
    shutil.copy(folder / "config.json", other / "config.json")
    (other / "tfidf.json").write_text(json.dumps({"terms": ["a"], "idf": [1.0]}))
    with pytest.raises(ModelError, match="holds files of several models"):
        Router.open(other)


@pytest.mark.parametrize(
    "rows", [["SELECT 1"], 3, "SELECT 1", np.array(["SELECT 1"])], ids=["list", "number", "text", "array"]
)
def test_what_is_no_list_of_queries_is_refused_with_an_example(served: Any, rows: Any) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="inputs must be a list of queries such as"):
        served.unwrap_python_model().predict(None, rows)
