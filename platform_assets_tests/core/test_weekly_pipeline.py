"""A week's model from training to verdict, for any pipeline: each step once, whatever was killed, and no pipeline in another's way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_assets.core import compared, verdict_record
from platform_assets.core.compared import ACTIVE, NotRegistered, Sides
from platform_assets.core.lake import Lake
from platform_assets.core.registered_model import AlteredModel, RegisteredModel
from platform_assets.core.registry import Conflict, Registry
from platform_assets.core.tracking import Tracking
from platform_assets.core.training_metrics import Shown
from platform_assets.core.verdict_record import NotAsServed, OtherBaseline
from platform_assets.core.warehouse import Warehouse
from platform_assets.core.weekly_training import OtherTraining, PinnedOption, Trained
from platform_assets_tests.core.made_up_pipeline import DEFAULTS, WEEK, World, judge, open_tracking

_NUMBER = iter(range(1000))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory, module_empty_postgres_url: str) -> Tracking:
    return open_tracking(module_empty_postgres_url, tmp_path_factory.mktemp("artefacts"))


@pytest.fixture
def world(tracking: Tracking, module_postgres_url: str, tmp_path: Path) -> World:
    """A pipeline of its own for every test."""
    return World(
        f"guess{next(_NUMBER)}", Lake(tmp_path / "lake"), tracking, Warehouse(module_postgres_url), tmp_path / "here"
    )


@pytest.fixture(autouse=True)
def _home(world: World) -> None:
    world.folder.mkdir()


def models(world: World) -> dict[str, dict[str, str]]:
    return world.model.versions(world.tracking).all()


def versions(world: World) -> list[tuple[int, str | None, str]]:
    found = Registry(world.warehouse).versions(world.model.policy)
    return [(each.version, each.model_version, each.status) for each in found]


def same(world: World, first: Trained, again: Trained) -> bool:
    assert versions(world) == [(0, None, "active"), (1, "1", "registered")]
    assert set(models(world)) == {"1"}
    names = ("model_version", "policy_version", "metrics")
    digests = {each.publication.revision.digest for each in (first, again)}
    return len(digests) == 1 and all(getattr(first, name) == getattr(again, name) for name in names)


def sides(world: World, trained: Trained) -> Sides:
    return compared.sides(world.warehouse, world.tracking, world.model, trained.publication.revision)


def test_a_trained_week_is_published_registered_and_a_version_of_its_policy(world: World) -> None:
    trained = world.training(times="3").produce()
    assert (trained.model_version, trained.policy_version, trained.metrics) == ("1", 1, {"number": 7.0})
    assert [(each.name, each.passed) for each in trained.outcomes] == [("is_positive", True), ("registered", True)]
    assert trained.shown == Shown({"number": 7.0}), "of few numbers each is shown by itself"
    assert not list((world.folder / "work").iterdir()), "what a finished training leaves is removed"

    revision = trained.publication.revision
    details = revision.lineage.details
    assert (details["fingerprint"], details["options"]) == (f"{world.name} 7 3", {"times": "3"})
    assert details["checks"]["is_positive"]["passed"]
    (named,) = (set(words[::2]) for words in world.trained)
    assert named == {"--text", "--output", "--work", "--mlflow_run", "--times"}

    tags = models(world)["1"]
    known = Registry(world.warehouse).versions(world.model.policy)[1]
    expected = {
        "task": "guessing", "policy_id": known.policy_id, "policy_version_id": known.id, "policy_version": "1",
        "fingerprint": f"{world.name} 7 3", "model_digest": revision.digest, "stage": "training",
        "dataset_version": WEEK, "language": "none",
        "dagster_asset": f"{world.name}/model", "dagster_partition": WEEK, "dagster_run_id": "a run",
    }  # fmt: skip
    assert expected.items() <= tags.items()
    assert known.config_defaults == DEFAULTS
    run = world.tracking.client.get_run(tags["run_id"])
    assert (run.info.status, run.data.tags["fingerprint"]) == ("FINISHED", tags["fingerprint"])
    named = {"dataset_version": WEEK, "dataset_digest": tags["dataset_digest"]}
    assert run.data.params == named
    assert run.inputs is not None
    assert [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs] == [
        (f"text/{WEEK}", tags["dataset_digest"])
    ]


def test_the_same_training_again_runs_nothing_and_another_one_is_another_version(world: World) -> None:
    first = world.training().produce()
    again = world.training().produce()
    assert same(world, first, again)
    assert len(world.trained) == 1
    assert world.training(times="2").produce().policy_version == 2


@pytest.mark.parametrize(("dies_in", "programs"), [("register", 2), ("register_policy_versions", 1)])
def test_what_was_killed_on_the_way_is_completed_once(
    dies_in: str, programs: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RegisteredModel, dies_in, die)
        with pytest.raises(KeyboardInterrupt):
            world.training().produce()
    assert versions(world) == [(0, None, "active")]
    first = world.training().produce()
    assert same(world, first, world.training().produce())
    assert len(world.trained) == programs


def test_a_week_that_the_lake_holds_otherwise_gets_the_registered_model_back(world: World) -> None:
    first = world.training("7").produce()
    world.training("8").produce()
    again = world.training("7").produce()
    assert again.publication.revision.digest == first.publication.revision.digest
    assert len(world.trained) == 2
    world.training("8").produce()
    _artefact(world, "1").write_text("{}")
    with pytest.raises(AlteredModel, match=rf"the files of {world.name} 1 have the digest .* train the model again"):
        world.training("7").produce()


def test_a_program_that_trained_something_else_registers_nothing(world: World) -> None:
    world.told["fingerprint"] = "that of older code"
    with pytest.raises(
        OtherTraining, match=r"the program trained that of olde, not guess.* with the same version of both"
    ):
        world.training().produce()
    assert models(world) == {}
    assert world.lake.current(world.training().address) is None


@pytest.mark.parametrize("name", ["text", "output", "mlflow_run"])
def test_an_option_that_the_inputs_or_the_step_decide_is_refused(name: str, world: World) -> None:
    with pytest.raises(PinnedOption, match=rf"{name}: decided by the week, and no option of guess.*/model"):
        world.training(**{name: "x"})


def test_two_pipelines_count_and_agree_each_for_itself(world: World, tmp_path: Path) -> None:
    other = World(f"{world.name}_other", world.lake, world.tracking, world.warehouse, tmp_path / "there")
    other.folder.mkdir()
    mine, its = world.training().produce(), other.training().produce()
    assert (mine.model_version, its.model_version) == ("1", "1")
    world.model.versions(world.tracking).register(mine.run, "model", {"made": "by hand"})
    assert not world.model.judge_agreement(world.tracking, world.warehouse, "registered").passed
    agreed = other.model.judge_agreement(world.tracking, world.warehouse, "registered")
    assert (agreed.passed, agreed.reason) == (
        True,
        f"1 version(s) of {other.name}, each a version of {other.name}_policy",
    )
    with pytest.raises(NotRegistered, match=f"is no version of {other.name}_policy: materialise {world.name}/model"):
        compared.sides(world.warehouse, world.tracking, other.model, mine.publication.revision)


def test_a_model_is_compared_with_the_active_version_and_never_with_itself(world: World) -> None:
    trained = world.training().produce()
    found = sides(world, trained)
    assert (found.candidate.version, found.baseline.version, found.model_version) == (1, 0, "1")
    assert found.tags().items() >= {"model_name": world.name, "policy_version": "1", "baseline_version": "0"}.items()
    assert compared.baseline(world.warehouse, world.model, 0) == compared.baseline(world.warehouse, world.model, ACTIVE)
    with pytest.raises(NotRegistered, match=r"has no version 9; it has 0 \(active\), 1 \(registered\)"):
        compared.baseline(world.warehouse, world.model, 9)
    world.activate(1)
    with pytest.raises(NotRegistered, match=r"is version 1 of guess.*_policy, the active one: there is no other"):
        sides(world, trained)


def test_a_published_model_that_is_not_the_registered_one_is_not_compared(world: World) -> None:
    trained = world.training().produce()
    world.model.versions(world.tracking).set_tags("1", {"model_digest": "f" * 32})
    with pytest.raises(
        NotRegistered, match=r"is not the one that is registered as guess.* 1: materialise guess.*/model"
    ):
        sides(world, trained)


@pytest.mark.parametrize(
    ("better_by", "outcome", "status", "stage"),
    [(0.05, "pass", "candidate", "candidate"), (-0.05, "fail", "rejected", "archived")],
)
def test_a_verdict_is_published_recorded_and_told_to_mlflow_once(
    better_by: float, outcome: str, status: str, stage: str, world: World
) -> None:
    scores = world.publish_scores(sides(world, world.training().produce()), better_by, {"dtype": "float32"})
    judged, again = (world.verdict(scores).produce() for _ in range(2))
    assert (judged.verdict.outcome, judged.version.status) == (outcome, status)
    assert judged.verdict.label == "thresholds: demo (40 rows / 10 customers)"
    assert judged.document["digests"] == {f"{world.name}/scores/{WEEK}": scores.digest}
    assert (again.document, again.publication.revision.digest) == (judged.document, judged.publication.revision.digest)
    (recorded,) = Registry(world.warehouse).verdicts(judged.version.id)
    assert (recorded.document, recorded.replay_digest) == (judged.document, scores.digest)
    tags = models(world)["1"]
    assert (tags["stage"], tags["verdict"], tags["evaluated_week"]) == (stage, outcome, WEEK)
    assert {each.name: each.passed for each in judged.outcomes} == {
        "registries_agree": True, "better_than_baseline": outcome == "pass",
    }  # fmt: skip


def test_a_verdict_on_record_is_not_rewritten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = world.publish_scores(sides(world, world.training().produce()), 0.05)
    before = world.verdict(scores).produce().publication.revision.digest
    other = world.verdict(scores)
    gate = type(other).gate
    object.__setattr__(gate, "judge", lambda path, *rest: judge(_worse(path), *rest))
    with pytest.raises(Conflict, match=r"was judged pass before, and would be fail now .* a verdict is not rewritten"):
        other.produce()
    current = world.lake.current(other.address)
    assert current is not None
    assert current.digest == before


def test_a_replay_against_another_than_the_active_version_is_not_judged(world: World) -> None:
    scores = world.publish_scores(sides(world, world.training().produce()), 0.05)
    world.training(times="2").produce()
    world.activate(2)
    with pytest.raises(
        OtherBaseline, match=r"compared version 1 with 0, the active one is 2: materialise guess.*/scores"
    ):
        world.verdict(scores).produce()
    assert world.lake.current(world.verdict(scores).address) is None


def test_with_a_bar_of_its_own_a_policy_is_judged_against_it_also_once_a_model_is_active(world: World) -> None:
    trained, model = world.training().produce(), replace(world.model, bar=0)
    world.activate(1)
    found = compared.sides(world.warehouse, world.tracking, model, trained.publication.revision)
    assert (found.candidate.version, found.baseline.version) == (1, 0)
    versions_of = Registry(world.warehouse).versions(model.policy)
    verdict_record.require_baseline(versions_of, found.document(), model.policy, "guess/scores", 0)
    turned = {"candidate": found.document()["candidate"], "baseline": {"id": "x", "version": 1}}
    with pytest.raises(OtherBaseline, match="is compared with version 0: materialise guess/scores of this week again"):
        verdict_record.require_baseline(versions_of, turned, model.policy, "guess/scores", 0)


@pytest.mark.parametrize(("replayed", "refused"), [({"dtype": "bfloat16"}, True), ({"batch_size": 64}, False)])
def test_only_what_decides_an_answer_must_be_as_it_is_served(
    replayed: dict[str, Any], refused: bool, world: World
) -> None:
    scores = world.publish_scores(sides(world, world.training().produce()), 0.05, replayed)
    if not refused:
        assert world.verdict(scores).produce().verdict.outcome == "pass"
        return
    with pytest.raises(NotAsServed, match="was replayed with dtype 'bfloat16' and is served with 'float32'"):
        world.verdict(scores).produce()


def _artefact(world: World, version: str) -> Path:
    source = world.tracking.client.get_model_version_download_uri(world.name, version)
    return Path(source.removeprefix("file://")) / "artifacts" / "model" / "metrics.json"


def _worse(scores: Path) -> Path:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(scores)
    lower = pc.subtract(table["candidate_hit"], 0.2)  # pyright: ignore[reportAttributeAccessIssue]
    target = scores.with_name("worse.parquet")
    pq.write_table(table.set_column(table.column_names.index("candidate_hit"), "candidate_hit", lower), target)
    return target
