"""The registry on a real Postgres: everything may be repeated, nothing moves back, nothing that was judged is rewritten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from threading import Barrier
from typing import Any, get_args

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.policy_version import STAGE_OF, STATUS_AFTER, Status, differences, rests_on
from platform_assets.core.registry import Conflict, PolicyVersion, Registry, ReplayResult, Unreachable, WarehouseError
from platform_assets.core.warehouse import Warehouse

POLICY, MODEL = "planner_policy", "planner_model"
DEFAULTS = {"temperature": 0.0, "prompt_version": 2, "tiny": 1e-5}
WEEKS = [date(2026, 1, 9), date(2026, 1, 16), date(2026, 1, 23)]
DATASET, REPLAY = "d" * 32, "e" * 32


def _empty(connection: psycopg.Connection) -> None:
    """Against the triggers that keep verdicts, which a superuser may switch off for a session."""
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute("TRUNCATE exp.policies CASCADE")


@pytest.fixture
def registry(module_postgres_url: str) -> Registry:
    registry = Registry(Warehouse(module_postgres_url))
    with registry.warehouse.connect() as connection:
        _empty(connection)
    registry.ensure_policy(POLICY, "the meal planner")
    registry.ensure_version_zero(POLICY, {"planner": "heuristic"})
    return registry


def register(registry: Registry, model_version: str = "1") -> PolicyVersion:
    return registry.register_version(POLICY, MODEL, model_version, DEFAULTS)


def replay_of(registry: Registry, version: PolicyVersion, **changes: Any) -> ReplayResult:
    scores = {"plan_alignment_score": 0.31, "offline_eval_score": 0.52, "added_hit": 0.125}
    plain = ReplayResult(
        version.id, registry.versions(POLICY)[0].id, "2026-01-09", DATASET, REPLAY, "run", scores, 1200, 300
    )
    return replace(plain, **changes)


def verdict(outcome: str = "pass", **details: Any) -> dict[str, Any]:
    return {"outcome": outcome, "digests": {"dataset": DATASET}, "estimate": 0.1 + 0.2, "small": 1e-7, **details}


def rows(registry: Registry, query: str) -> list[Any]:
    with registry.warehouse.connect() as connection:
        return connection.execute(query.encode()).fetchall()


def test_policy_and_version_zero_are_made_once_and_left_as_they_are(registry: Registry) -> None:
    first = registry.versions(POLICY)
    assert registry.ensure_policy(POLICY, "described anew") == first[0].policy_id
    assert registry.ensure_version_zero(POLICY, {"planner": "another"}) == first[0]
    assert [(each.version, each.status, each.model_name) for each in first] == [(0, "active", None)]
    assert first[0].config_defaults == {"planner": "heuristic"}
    with pytest.raises(WarehouseError, match="there is no policy 'nobody'; create it with ensure_policy first"):
        registry.ensure_version_zero("nobody", {})


def test_a_model_gets_the_next_number_once(registry: Registry) -> None:
    first, again, second = (register(registry, name) for name in ("7", "7", "8"))
    assert again == first
    assert [(each.version, each.model_version, each.status) for each in registry.versions(POLICY)[1:]] == [
        (1, "7", "registered"), (2, "8", "registered"),
    ]  # fmt: skip
    assert registry.version_of_model(MODEL, "8") == second
    assert registry.version_of_model(MODEL, "9") is None
    assert second.config_defaults == DEFAULTS


def test_a_model_version_cannot_change_its_defaults_or_its_policy(registry: Registry) -> None:
    register(registry)
    with pytest.raises(Conflict, match="with other defaults; register the model again"):
        registry.register_version(POLICY, MODEL, "1", {"temperature": 0.7})
    registry.ensure_policy("router_policy", "the query router")
    with pytest.raises(Conflict, match="version 1 of planner_policy and cannot be one of router_policy too"):
        registry.register_version("router_policy", MODEL, "1", DEFAULTS)
    assert registry.versions("router_policy") == []


def test_two_that_register_at_once_get_one_version_per_model(registry: Registry) -> None:
    barrier = Barrier(6)

    def run(model_version: str) -> PolicyVersion:
        barrier.wait()
        return register(registry, model_version)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(run, ["1", "1", "1", "2", "2", "3"]))
    assert len({each.id for each in found}) == 3
    assert [each.version for each in registry.versions(POLICY)] == [0, 1, 2, 3]


def test_a_replay_is_recorded_once_with_its_scores_in_their_columns(registry: Registry) -> None:
    version = register(registry)
    first = registry.record_replay(replay_of(registry, version))
    assert registry.record_replay(replay_of(registry, version, mlflow_run_id="of the re-run")) == first
    assert rows(
        registry,
        "SELECT id::text, plan_alignment_score, edit_distance_score, scores ->> 'added_hit', n_rows, status,"
        " mlflow_run_id FROM exp.offline_replay_results",
    ) == [(first, 0.31, None, "0.125", 1200, "completed", "run")]
    others = [
        replay_of(registry, version, dataset_version="2026-01-16"), replay_of(registry, version, dataset_digest="f" * 32),
        replay_of(registry, version, replay_digest="f" * 32), replay_of(registry, version, baseline_version_id=None),
    ]  # fmt: skip
    assert len({first, *(registry.record_replay(each) for each in others)}) == 5


def test_a_replay_that_failed_is_recorded_with_its_message_and_does_not_stand_in_the_way(registry: Registry) -> None:
    version = register(registry)
    nothing = {"replay_digest": None, "scores": {}, "rows": None, "households": None}
    messages = ("out of memory", "out of memory", "x" * 9000)
    failed = [replay_of(registry, version, **nothing, error_message=message) for message in messages]
    assert len({registry.record_replay(each) for each in failed}) == 2
    registry.record_replay(replay_of(registry, version))
    assert rows(registry, "SELECT status, count(*) FROM exp.offline_replay_results GROUP BY 1 ORDER BY 1") == [
        ("completed", 1), ("failed", 2),
    ]  # fmt: skip


def test_a_replay_that_says_something_else_under_the_same_digest_is_refused(registry: Registry) -> None:
    version = register(registry)
    registry.record_replay(replay_of(registry, version))
    for change in ({"scores": {"plan_alignment_score": 0.32}}, {"rows": 1201}, {"households": 299}):
        with pytest.raises(Conflict, match="is on record with other scores"):
            registry.record_replay(replay_of(registry, version, **change))
    with pytest.raises(ValueError, match="scores plan_alignment_score are not finite"):
        replay_of(registry, version, scores={"plan_alignment_score": float("nan")})
    with pytest.raises(ValueError, match="either the digest of its scores or the message of its failure"):
        replay_of(registry, version, error_message="both")


@pytest.mark.parametrize(
    ("outcome", "status", "is_better"),
    [("pass", "candidate", True), ("fail", "rejected", False), ("inconclusive", "registered", None)],
)
def test_a_verdict_moves_a_registered_version_and_shows_on_its_replay(
    registry: Registry, outcome: str, status: str, is_better: bool | None
) -> None:
    version = register(registry)
    registry.record_replay(replay_of(registry, version))
    document = verdict(outcome)
    judged = registry.record_verdict(version.id, document, WEEKS[0], REPLAY)
    assert (judged.status, judged.evaluated_week, judged.verdict) == (status, WEEKS[0], document)
    assert rows(registry, "SELECT verdict, is_better_than_baseline FROM exp.offline_replay_results") == [
        (document, is_better)
    ]
    assert [(each.outcome, each.document) for each in registry.verdicts(version.id)] == [(outcome, document)]


def test_a_run_that_is_repeated_from_any_step_ends_with_one_version_and_one_verdict(registry: Registry) -> None:
    version = register(registry)
    steps = (
        lambda: register(registry),
        lambda: registry.record_replay(replay_of(registry, version)),
        lambda: registry.record_verdict(version.id, verdict(), WEEKS[0], REPLAY),
    )
    # Killed before a step, the next run starts at the first again.
    for done in range(len(steps) + 1):
        for step in (*steps[:done], *steps):
            step()
    assert len(registry.versions(POLICY)) == 2
    assert len(registry.verdicts(version.id)) == 1
    assert rows(registry, "SELECT count(*) FROM exp.offline_replay_results") == [(1,)]


def test_a_verdict_that_is_half_written_is_not_there_at_all(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register(registry)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("platform_assets.core.registry.show_verdict", die)
        with pytest.raises(KeyboardInterrupt):
            registry.record_verdict(version.id, verdict(), WEEKS[0], REPLAY)
    assert registry.verdicts(version.id) == []
    assert registry.record_verdict(version.id, verdict(), WEEKS[0], REPLAY).status == "candidate"


def test_another_verdict_on_the_same_replay_is_refused_and_the_first_one_stands(registry: Registry) -> None:
    version = register(registry)
    registry.record_verdict(version.id, verdict("inconclusive"), WEEKS[0], REPLAY)
    same = dict(reversed(verdict("inconclusive").items()))
    assert registry.record_verdict(version.id, same, WEEKS[0], REPLAY).status == "registered"
    for other in (verdict("pass"), verdict("inconclusive", estimate=0.3)):
        with pytest.raises(Conflict, match="verdicts are not rewritten"):
            registry.record_verdict(version.id, other, WEEKS[0], REPLAY)
    assert registry.versions(POLICY)[1].verdict == verdict("inconclusive")
    with pytest.raises(ValueError, match="outcome is pass, fail, inconclusive, not 'maybe'"):
        registry.record_verdict(version.id, verdict("maybe"), WEEKS[0], REPLAY)


def test_a_later_week_may_settle_what_was_inconclusive_and_an_older_one_is_history_only(registry: Registry) -> None:
    version = register(registry)
    registry.record_verdict(version.id, verdict("inconclusive"), WEEKS[1], REPLAY)
    backfilled = registry.record_verdict(version.id, verdict("pass"), WEEKS[0], REPLAY)
    assert (backfilled.status, backfilled.evaluated_week) == ("registered", WEEKS[1])
    settled = registry.record_verdict(version.id, verdict("fail"), WEEKS[2], REPLAY)
    assert settled.verdict == verdict("fail")
    assert (settled.status, settled.evaluated_week) == ("rejected", WEEKS[2])
    assert [(each.evaluated_week, each.outcome) for each in registry.verdicts(version.id)] == [
        (WEEKS[0], "pass"), (WEEKS[1], "inconclusive"), (WEEKS[2], "fail"),
    ]  # fmt: skip
    again = registry.record_verdict(version.id, verdict("inconclusive"), WEEKS[1], REPLAY)
    assert again == settled


def test_a_week_that_was_replayed_anew_counts_as_it_was_judged_last_and_repeating_the_first_changes_nothing(
    registry: Registry,
) -> None:
    version = register(registry)
    first, second = verdict("inconclusive"), verdict("inconclusive", estimate=0.4)
    registry.record_verdict(version.id, first, WEEKS[0], REPLAY)
    late = registry.record_verdict(version.id, second, WEEKS[0], "f" * 32)
    assert late.verdict == second
    assert registry.record_verdict(version.id, first, WEEKS[0], REPLAY) == late


@pytest.mark.parametrize(("first", "second"), [("pass", "fail"), ("fail", "pass")])
@pytest.mark.parametrize("later", [0, 1], ids=["the same week replayed anew", "a later week"])
def test_a_verdict_of_the_same_or_a_later_week_takes_back_what_was_decided(
    registry: Registry, first: str, second: str, later: int
) -> None:
    version, again = register(registry), "f" * 32
    registry.record_verdict(version.id, verdict(first), WEEKS[1], REPLAY)
    judged = registry.record_verdict(version.id, verdict(second), WEEKS[1 + later], again)
    assert (judged.status, judged.evaluated_week) == (STATUS_AFTER[second], WEEKS[1 + later])
    assert judged.verdict == verdict(second)
    assert registry.record_verdict(version.id, verdict(first), WEEKS[1], REPLAY) == judged, "the first one repeated"
    assert registry.record_verdict(version.id, verdict(first), WEEKS[0], REPLAY) == judged, "an older week"
    assert len(registry.verdicts(version.id)) == 3


@pytest.mark.parametrize("first", ["pass", "fail"])
def test_an_inconclusive_verdict_takes_nothing_back(registry: Registry, first: str) -> None:
    version = register(registry)
    judged = registry.record_verdict(version.id, verdict(first), WEEKS[0], REPLAY)
    for week in (WEEKS[0], WEEKS[2]):
        assert registry.record_verdict(version.id, verdict("inconclusive"), week, "f" * 32) == judged
    other = {"pass": "fail", "fail": "pass"}[first]
    settled = registry.record_verdict(version.id, verdict(other), WEEKS[1], REPLAY)
    assert settled.status == STATUS_AFTER[other], "newer than the verdict that the status rests on"


VERDICTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(list(STATUS_AFTER))), max_size=6)


@settings(max_examples=200)
@given(VERDICTS)
def test_the_status_rests_on_the_newest_verdict_that_decided_whatever_came_between(
    given: list[tuple[int, str]],
) -> None:
    version = PolicyVersion("id", "policy", POLICY, 1, MODEL, "1", {}, "registered", None, None)
    counted: list[tuple[int, str]] = []
    for week, outcome in given:
        is_moved = rests_on(version, outcome, WEEKS[week])
        is_newest = all(week >= each for each, _ in counted)
        is_open = all(each == "inconclusive" for _, each in counted)
        assert is_moved == (is_newest and (outcome != "inconclusive" or is_open))
        if is_moved:
            counted.append((week, outcome))
            version = replace(version, status=STATUS_AFTER[outcome], evaluated_week=WEEKS[week])
    assert version.status == STATUS_AFTER[counted[-1][1] if counted else "inconclusive"]


@pytest.mark.parametrize("status", ["active", "deprecated", "archived"])
@pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive"])
def test_no_verdict_moves_a_version_that_serves_or_served(registry: Registry, status: str, outcome: str) -> None:
    version = register(registry)
    registry.record_verdict(version.id, verdict("inconclusive"), WEEKS[0], REPLAY)
    with registry.warehouse.connect() as connection:
        connection.execute("UPDATE exp.policy_versions SET status = %s WHERE id = %s", [status, version.id])
    judged = registry.record_verdict(version.id, verdict(outcome), WEEKS[2], REPLAY)
    assert (judged.status, judged.evaluated_week) == (status, WEEKS[0])
    assert len(registry.verdicts(version.id)) == 2


def test_a_verdict_touches_no_other_version_whatever_its_week(registry: Registry) -> None:
    newer, backfilled = (register(registry, name) for name in ("1", "2"))
    judged = registry.record_verdict(newer.id, verdict(), WEEKS[1], REPLAY)
    registry.record_verdict(backfilled.id, verdict(), WEEKS[0], REPLAY)
    assert [each for each in registry.versions(POLICY) if each.id == newer.id] == [judged]
    candidates = [each for each in registry.versions(POLICY) if each.status == "candidate"]
    assert max(candidates, key=lambda each: str(each.evaluated_week)).version == judged.version


def test_verdicts_recorded_at_once_are_one_or_a_conflict(registry: Registry) -> None:
    version, barrier = register(registry), Barrier(4)

    def run(outcome: str) -> str:
        barrier.wait()
        try:
            return registry.record_verdict(version.id, verdict(outcome), WEEKS[0], REPLAY).status
        except Conflict:
            return "conflict"

    with ThreadPoolExecutor(4) as pool:
        found = sorted(pool.map(run, ["pass", "pass", "fail", "fail"]))
    assert found in (
        ["candidate", "candidate", "conflict", "conflict"],
        ["conflict", "conflict", "rejected", "rejected"],
    )
    assert len(registry.verdicts(version.id)) == 1


def test_differences_are_found_in_both_directions(registry: Registry) -> None:
    first, second = register(registry, "1"), register(registry, "10")
    registry.record_verdict(first.id, verdict(), WEEKS[0], REPLAY)
    in_step = {"1": {"stage": "candidate", "policy_version_id": first.id}, "10": {"stage": "training"}}
    assert registry.differences(POLICY, in_step) == []
    assert registry.differences(POLICY, {**in_step, "10": {}}) == []
    assert registry.differences(POLICY, {"1": in_step["1"], "2": {}}) == [
        "MLflow has version 2, but no policy version names it: run the training asset again",
        "planner_policy version 2 names planner_model 10, which MLflow does not have: was it deleted?",
    ]
    found = registry.differences(
        POLICY, {"1": {"stage": "archived"}, "10": {"stage": "production", "policy_version_id": first.id}}
    )
    assert [sentence.split(":")[0] for sentence in found] == [
        "planner_policy version 1 is candidate, but MLflow's tag stage says archived",
        f"planner_policy version 2 has the policy_version_id {second.id}, but MLflow's tag says {first.id}",
        "planner_policy version 2 is registered, but MLflow's tag stage says production",
    ]


@pytest.mark.parametrize("status", get_args(Status))
def test_mlflow_is_in_step_with_one_stage_for_each_status(status: Status) -> None:
    version = PolicyVersion("id", "policy", POLICY, 1, MODEL, "1", {}, status, None, None)
    stages = {"registered": "training", "candidate": "candidate", "active": "production"}
    told = {stage: differences([version], {"1": {"stage": stage}}) for stage in {*STAGE_OF.values()}}
    assert {stage for stage, found in told.items() if not found} == {stages.get(status, "archived")}


def test_every_digest_that_a_record_names_is_named(registry: Registry) -> None:
    digests = {name: name * 32 for name in "0123456789"}
    version = registry.register_version(POLICY, MODEL, "1", {"base_model_digest": digests["0"]})
    registry.record_replay(replay_of(registry, version, dataset_digest=digests["1"], replay_digest=digests["2"]))
    for week, outcome in enumerate(("inconclusive", "pass")):
        document = verdict(outcome, digests={"model": digests[str(3 + week)]})
        registry.record_verdict(version.id, document, WEEKS[week], digests[str(5 + week)])
    assert {digests[str(i)] for i in range(7)} <= registry.named_digests()
    assert not {digests[str(i)] for i in range(7, 10)} & registry.named_digests()


def test_a_server_that_is_away_and_a_schema_that_is_missing_are_told_apart(empty_postgres_url: str) -> None:
    with pytest.raises(Unreachable, match="is the server running"):
        Registry(Warehouse("postgresql://u:topsecret@127.0.0.1:9/app")).versions(POLICY)
    with pytest.raises(WarehouseError, match="`make preflight` names missing tables") as caught:
        Registry(Warehouse(empty_postgres_url)).versions(POLICY)
    assert not isinstance(caught.value, Unreachable)


def test_a_version_that_does_not_exist_is_named(registry: Registry) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(WarehouseError, match="expected one policy version for"):
        registry.record_verdict(nobody, verdict(), WEEKS[0], REPLAY)
    with pytest.raises(WarehouseError, match="foreign key"):
        registry.record_replay(replace(replay_of(registry, register(registry)), policy_version_id=nobody))


def test_what_the_simulator_made_is_taken_as_it_is(registry: Registry) -> None:
    with psycopg.connect(registry.warehouse.url) as connection:
        _empty(connection)
        connection.execute("INSERT INTO exp.policies (name) VALUES (%s)", [POLICY])
        connection.execute(
            "INSERT INTO exp.policy_versions (policy_id, version, status) SELECT id, 0, 'active' FROM exp.policies"
        )
    registry.ensure_policy(POLICY, "the meal planner")
    assert registry.ensure_version_zero(POLICY, {"planner": "heuristic"}).config_defaults == {}
    assert register(registry).version == 1
