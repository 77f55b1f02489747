"""A week's replay, for any pipeline: run, published, recorded once, and never refused because of what nobody can ask any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from platform_assets.core import compared, verdict_record
from platform_assets.core.compared import Sides
from platform_assets.core.lake import Lake, Revision
from platform_assets.core.registry import Registry
from platform_assets.core.replay_record import EXPERIMENT, run_program
from platform_assets.core.step import ProgramFailed
from platform_assets.core.tracking import Tracking
from platform_assets.core.verdict_record import OtherBaseline
from platform_assets.core.warehouse import Warehouse
from platform_assets_tests.core.made_up_pipeline import CUSTOMERS, DRAWN, SCORES, WEEK, World, open_tracking

MEANS = {"candidate": {"hit": 0.6}, "baseline": {"hit": 0.5}}
OTHER = "speaks another language than this release"
TOLD = f"the active version 1 cannot be asked, as it {OTHER}: version 0 is compared with in its place"
_NUMBER = iter(range(1000))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory, module_empty_postgres_url: str) -> Tracking:
    return open_tracking(module_empty_postgres_url, tmp_path_factory.mktemp("artefacts"))


@pytest.fixture
def world(tracking: Tracking, module_postgres_url: str, tmp_path: Path) -> World:
    """A pipeline of its own for every test."""
    home = tmp_path / "here"
    home.mkdir()
    return World(f"told{next(_NUMBER)}", Lake(tmp_path / "lake"), tracking, Warehouse(module_postgres_url), home)


def sides(world: World, model: Revision) -> Sides:
    return compared.sides(world.warehouse, world.tracking, world.model, model)


def trained(world: World, *, active: str = "") -> Revision:
    """A week's model; before it, with other options, one that is active since."""
    if active:
        world.training(times=active).produce()
        world.activate(1)
    return world.training().produce().publication.revision


def test_a_replay_runs_its_program_once_publishes_its_rows_and_shows_what_it_drew(world: World) -> None:
    model = trained(world)
    replayed = world.replay(model, rows=99, speed="fast", colour="").produce()
    output = world.replayed[0].pop("--output")
    assert world.replayed == [{"--model": model.digest, "--baseline": "0", "--speed": "fast"}]
    revision = replayed.publication.revision
    assert (revision.rows, revision.lineage.code_version) == (2 * CUSTOMERS, "7")
    assert revision.lineage.inputs == (model.as_input(),)
    assert Path(output) / SCORES == replayed.scored.scores

    details = revision.lineage.details
    assert details["candidate"]["version"] == 1
    assert details["checks"]["reconciled"]["passed"]
    assert details["summary"] == {"rows": 60, "customers": 30, "answers": {}}, "tables lie beside the scores"
    assert {file.name for file in revision.side_files} == {"summary.json"}
    assert replayed.pictures == {"by_day.png": DRAWN}
    drawn = {item.path for item in world.tracking.client.list_artifacts(replayed.run.run_id)}
    assert drawn == {"replay.png", "by_day.png"}
    assert world.replays() == [(1, 0, "completed", replayed.means["candidate"]["hit"], 60, 30, None)]


@pytest.mark.parametrize(("known", "logged"), [(None, 60), (99, 99)])
def test_a_dataset_that_leaves_its_rows_open_has_those_that_were_replayed(
    known: int | None, logged: int, world: World
) -> None:
    run = world.tracking.client.get_run(world.replay(trained(world), rows=known).produce().run.run_id)
    assert run.inputs is not None
    (found,) = run.inputs.dataset_inputs
    assert json.loads(found.dataset.profile or "") == {"num_rows": logged}


def test_the_same_replay_again_changes_nothing(world: World) -> None:
    model = trained(world)
    first, again = (world.replay(model).produce() for _ in range(2))
    assert not again.publication.pointer_moved
    assert again.run.run_id == first.run.run_id
    assert len(world.replays()) == 1


def test_a_replay_whose_program_fails_publishes_nothing(world: World) -> None:
    replaying = world.replay(trained(world))
    object.__setattr__(replaying.step, "run_program", _fail)
    with pytest.raises(ProgramFailed):
        replaying.produce()
    assert world.lake.current(replaying.address) is None
    assert [row[2] for row in world.replays()] == ["failed"]


def test_a_replay_is_one_run_and_one_row_and_beside_the_losses_of_its_training(world: World) -> None:
    trained = world.training().produce()
    recorded = world.recorded(sides(world, trained.publication.revision), "e" * 32, MEANS)
    runs = {recorded.keep(world.step()).run_id for _ in range(2)}
    assert len(runs) == 1
    run = world.tracking.client.get_run(runs.pop())
    assert run.data.metrics == {"candidate_hit": 0.6, "baseline_hit": 0.5, "rows": 60, "customers": 30}
    assert [item.path for item in world.tracking.client.list_artifacts(run.info.run_id)] == ["replay.png"]
    assert run.info.experiment_id == world.tracking.experiment_id(EXPERIMENT)
    assert world.tracking.client.get_run(trained.run.run_id).data.metrics["replay_hit"] == 0.6
    assert world.replays() == [(1, 0, "completed", 0.6, 60, 30, None)]


def test_a_replay_that_failed_is_kept_with_what_its_program_said(world: World) -> None:
    found, step = sides(world, world.training().produce().publication.revision), world.step()

    object.__setattr__(step, "run_program", _fail)
    with pytest.raises(ProgramFailed):
        run_program(step, "made.up.replay", [], found, WEEK, "d" * 32)
    assert world.replays() == [(1, 0, "failed", None, None, None, "no week of the replay is later than the training")]


def test_an_active_version_that_nobody_can_ask_gives_way_to_version_0_wherever_it_is_told(world: World) -> None:
    model = trained(world, active="2")
    replayed = world.replay(model, unaskable=OTHER).produce()
    details = replayed.publication.revision.lineage.details
    assert [details[side]["version"] for side in ("candidate", "baseline", "passed_over")] == [2, 0, 1]
    assert details["passed_over"]["reason"] == TOLD
    assert world.replayed[0]["--baseline"] == "0"
    assert [row[:3] for row in world.replays()] == [(2, 0, "completed")]
    assert world.tracking.client.get_run(replayed.run.run_id).data.tags["baseline_version"] == "0"

    judged = world.verdict(replayed.publication.revision).produce()
    assert judged.note == TOLD
    assert judged.outcomes[-1].reason.endswith(f"; {TOLD}")
    assert judged.publication.revision.lineage.details["passed_over"] == details["passed_over"]
    statuses = [each.status for each in Registry(world.warehouse).versions(world.model.policy)]
    assert statuses == ["deprecated", "active", "candidate"], "it may replace the active one"


def test_nothing_is_said_of_an_active_version_that_was_asked(world: World) -> None:
    replayed = world.replay(trained(world, active="2")).produce()
    details = replayed.publication.revision.lineage.details
    assert details["baseline"]["version"] == 1
    assert "passed_over" not in details | details["summary"]
    judged = world.verdict(replayed.publication.revision).produce()
    assert "in its place" not in f"{judged.document}{judged.outcomes}{judged.publication.revision.lineage.details}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"passed_over": {"id": "of another"}}, "compared version 2 with 0, the active one is 1"),
        ({"baseline": {"id": "of another", "version": 3}}, "compared version 2 with 3, the active one is 1"),
        ({"passed_over": None}, "compared version 2 with 0, the active one is 1"),
    ],
)
def test_only_version_0_stands_in_and_only_for_the_active_one(changes: dict[str, Any], said: str, world: World) -> None:
    found = world.replay(trained(world, active="2"), unaskable=OTHER).sides().document()
    known = Registry(world.warehouse).versions(world.model.policy)
    verdict_record.require_baseline(known, found, world.model.policy, "told/scores")
    with pytest.raises(OtherBaseline, match=said):
        verdict_record.require_baseline(known, {**found, **changes}, world.model.policy, "told/scores")


def test_a_verdict_on_record_stands_when_its_baseline_comes_to_stand_in_for_another(world: World) -> None:
    """The same rows, as the rule was compared with before and is again."""
    first = trained(world)
    before = world.verdict(world.replay(first).produce().publication.revision).produce()
    world.training(times="2").produce()
    world.activate(2)
    model = world.training().produce().publication.revision
    replayed = world.replay(model, unaskable=OTHER).produce().publication.revision
    assert replayed.lineage.details["passed_over"]["version"] == 2
    again = world.verdict(replayed).produce()
    assert again.document == before.document
    assert (before.note, again.note[:38]) == ("", "the active version 2 cannot be asked, ")


def test_a_version_that_can_be_asked_by_now_is_not_passed_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that could not ask it replayed, and one that can is to judge."""
    replayed = world.replay(trained(world, active="2"), unaskable=OTHER).produce().publication.revision
    judging = world.verdict(replayed)
    monkeypatch.setattr(type(judging), "why_not_asked", lambda self, version: "")
    said = "passed over version 1, which can be asked here: materialise .* of this week again"
    with pytest.raises(OtherBaseline, match=said):
        judging.produce()
    assert world.lake.current(judging.address) is None


def _fail(module: str, words: Any) -> Any:
    raise ProgramFailed("no week of the replay is later than the training")
