"""The retraining sensor: every new week that is ready is seen, once, whatever happens between two ticks."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.orchestration import automation
from platform_assets.orchestration.resources import LakeResource
from platform_assets.orchestration.retraining import Dataset, Policy, retrain
from platform_assets_tests.orchestration.retraining_world import DATASET, WEEKS, World, keys


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A platform with nothing on it yet, not even a tick."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance, tmp_path)


@pytest.fixture
def running(world: World) -> World:
    """The sensor was there before the first dataset."""
    assert world.tick() == []
    return world


def test_a_burst_of_four_weeks_between_two_ticks_loses_none(running: World) -> None:
    running.publish(WEEKS[0])
    assert running.tick() == keys(WEEKS[0])
    for week in reversed(WEEKS[1:5]):
        running.publish(week)
    assert running.tick() == keys(*WEEKS[1:5])
    assert running.tick() == []


def test_a_backfill_that_follows_a_first_tick_without_any_dataset_is_trained_on_week_by_week(running: World) -> None:
    for week in WEEKS:
        running.publish(week)
    assert running.tick() == keys(*WEEKS)


def test_where_a_training_reads_all_weeks_a_burst_is_one_training_of_its_newest_ready_week(running: World) -> None:
    policy = Policy(gap_weeks=3, newest_only=True)
    for week in WEEKS[:3]:
        running.publish(week)
    running.lacks[WEEKS[2]] = "a week before it"
    assert running.tick(policy) == keys(WEEKS[1])
    running.lacks.clear()
    for week in WEEKS[3:5]:
        running.publish(week)
    assert running.tick(policy) == keys(WEEKS[4])
    running.publish(WEEKS[5])
    assert running.tick(policy) == []
    assert "1 week(s) after the last training, of 3" in running.said


def test_a_sensor_that_is_switched_on_over_existing_weeks_asks_for_the_newest_ready_one_alone(world: World) -> None:
    for week in WEEKS[:5]:
        world.publish(week, failed=("drift",) if week == WEEKS[4] else ())
    assert world.tick() == keys(WEEKS[3])
    assert world.tick() == []
    world.publish(WEEKS[4], digest="mended")
    world.publish(WEEKS[5])
    assert world.tick() == [*keys(WEEKS[4], digest="mended"), *keys(WEEKS[5])]


def test_inherited_weeks_that_become_ready_together_after_the_first_tick_are_one_training(world: World) -> None:
    for week in WEEKS[:4]:
        world.publish(week)
        world.lacks[week] = "recipes"
    assert world.tick() == []
    world.lacks.clear()
    world.publish(WEEKS[4])
    assert world.tick() == keys(WEEKS[3], WEEKS[4])


def test_a_history_longer_than_a_tick_reads_is_looked_through_before_the_newest_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "EVENTS_A_TICK", 2)
    for week in WEEKS[:5]:
        world.publish(week)
    ticks = [world.tick() for _ in range(4)]
    assert ticks == [[], [], keys(WEEKS[4]), []]


def test_a_week_waits_for_what_its_training_reads_and_is_asked_for_once_that_is_there(running: World) -> None:
    running.lacks[WEEKS[0]] = "rooms/recipes of 2026-01-02, which is not published"
    running.publish(WEEKS[0])
    for _ in range(3):
        assert running.tick() == []
        assert running.said == f"{WEEKS[0]} waits for rooms/recipes of 2026-01-02, which is not published"
    running.lacks.clear()
    assert running.tick() == keys(WEEKS[0])
    assert running.tick() == []


def test_a_week_that_somebody_trained_is_not_asked_for_and_counts_as_the_last_training(world: World) -> None:
    policy = Policy(gap_weeks=2)
    for week in WEEKS[:3]:
        world.publish(week)
    world.trained.add(WEEKS[2])
    assert world.tick(policy) == []
    assert f"{WEEKS[2]} is trained on already: its model is published" in world.said
    assert "no training of their own for" in world.said
    world.publish(WEEKS[3])
    assert world.tick(policy) == []
    assert world.said == f"{WEEKS[3]} waits: 1 week(s) after the last training, of 2"
    world.publish(WEEKS[4])
    assert world.tick(policy) == keys(WEEKS[4])


def test_of_a_burst_whose_middle_is_trained_the_others_are_asked_for(running: World) -> None:
    for week in WEEKS[:3]:
        running.publish(week)
    running.trained.add(WEEKS[1])
    assert running.tick() == keys(WEEKS[0], WEEKS[2])


def test_the_runs_have_the_run_config_that_was_given(running: World) -> None:
    running.publish(WEEKS[0])
    given = {"ops": {"model": {"config": {"epochs": 3}}}}
    sensor = retrain("new_weeks", DATASET, "job", Policy(), lambda lake: running.read, given)
    with dg.build_sensor_context(
        running.instance, running.cursor, resources={"lake": LakeResource(url="x")}
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert [(each.partition_key, each.run_config) for each in result.run_requests or []] == [(WEEKS[0], given)]


def test_a_waiting_week_survives_a_tick_that_breaks_and_a_daemon_that_dies_before_it_saves(running: World) -> None:
    running.lacks[WEEKS[0]] = "recipes"
    running.publish(WEEKS[0])
    assert running.tick() == []
    running.lacks.clear()
    running.broken = True
    with pytest.raises(ConnectionError):
        running.tick()
    running.broken, before = False, running.cursor
    assert running.tick() == keys(WEEKS[0])
    running.cursor = before
    assert running.tick() == keys(WEEKS[0]), "the same run key: the daemon drops what it has launched"


def test_a_waiting_week_holds_no_newer_one_and_waits_no_longer_once_that_is_asked_for(running: World) -> None:
    running.lacks[WEEKS[0]] = "recipes"
    for week in WEEKS[:2]:
        running.publish(week)
    assert running.tick() == keys(WEEKS[1])
    running.lacks.clear()
    assert running.tick() == []


def test_a_waiting_week_that_fails_a_check_meanwhile_is_out_until_it_is_mended(running: World) -> None:
    running.lacks[WEEKS[0]] = "recipes"
    running.publish(WEEKS[0])
    assert running.tick() == []
    running.lacks.clear()
    running.publish(WEEKS[0], failed=("drift",))
    assert [running.tick(), running.tick()] == [[], []]
    running.publish(WEEKS[0], digest="mended")
    assert running.tick() == keys(WEEKS[0], digest="mended")


def test_the_cursor_of_an_older_version_goes_on(world: World) -> None:
    for week in WEEKS[:3]:
        world.publish(week)
    world.cursor = json.dumps({"storage_id": 1, "last_week": WEEKS[0], "new_rows": {}})
    assert world.tick() == keys(WEEKS[1], WEEKS[2])


def test_a_tick_that_breaks_asks_for_the_same_with_the_same_run_key_afterwards(world: World) -> None:
    world.publish(WEEKS[0])
    world.broken = True
    with pytest.raises(ConnectionError):
        world.tick()
    world.broken = False
    before = world.cursor
    assert world.tick() == keys(WEEKS[0])
    world.cursor = before  # the daemon died after it launched the run and before it saved the cursor
    assert world.tick() == keys(WEEKS[0])


def test_a_week_that_failed_a_check_is_trained_on_once_it_is_mended(running: World) -> None:
    running.publish(WEEKS[0], failed=("drift",))
    assert running.tick() == []
    running.publish(WEEKS[0], digest="mended")
    assert running.tick() == keys(WEEKS[0], digest="mended")


def test_late_data_in_an_old_week_waits_for_the_next_training(running: World) -> None:
    running.publish(WEEKS[1])
    assert running.tick() == keys(WEEKS[1])
    running.publish(WEEKS[0], digest="late")
    running.publish(WEEKS[1], digest="late")
    assert running.tick() == []


def test_weeks_wait_for_the_gap_and_for_enough_new_rows(running: World) -> None:
    every_other = Policy(gap_weeks=2)
    for week in WEEKS[:4]:
        running.publish(week)
    assert running.tick(every_other) == keys(WEEKS[0], WEEKS[2])
    many_rows = Policy(minimum_new_rows=250)
    running.publish(WEEKS[4])
    assert running.tick(many_rows) == []
    running.publish(WEEKS[5])
    assert running.tick(many_rows) == keys(WEEKS[5])  # weeks 3, 4 and 5: 300 rows


def test_an_urgent_week_does_not_wait_for_the_gap_and_the_log_says_why(running: World) -> None:
    policy = Policy(gap_weeks=3, newest_only=True)
    running.publish(WEEKS[0])
    assert running.tick(policy) == keys(WEEKS[0])
    running.lacks[WEEKS[1]] = "categories"
    running.publish(WEEKS[1], urgent="joins drifted")
    assert running.tick(policy) == []
    why = f"{WEEKS[1]} does not wait for the gap of 3 weeks: joins drifted"
    assert running.said == f"{why}; {WEEKS[1]} waits for categories"
    assert json.loads(running.cursor or "")["urgent"] == {WEEKS[1]: "joins drifted"}
    running.lacks.clear()
    assert running.tick(policy) == keys(WEEKS[1])
    assert json.loads(running.cursor or "")["urgent"] == {}


def test_rows_of_a_later_week_are_no_reason_to_train_on_an_earlier_one(running: World) -> None:
    policy = Policy(minimum_new_rows=150)
    running.publish(WEEKS[1])
    assert running.tick(policy) == []
    running.publish(WEEKS[0])
    assert running.tick(policy) == keys(WEEKS[1])


def test_rows_of_a_week_that_fails_a_check_meanwhile_count_no_longer(running: World) -> None:
    policy = Policy(minimum_new_rows=150)
    running.publish(WEEKS[0])
    assert running.tick(policy) == []
    running.publish(WEEKS[0], failed=("drift",))
    running.publish(WEEKS[1])
    assert running.tick(policy) == []


def test_a_run_that_still_goes_on_is_waited_for(world: World) -> None:
    seen: list[list[str]] = []

    @dg.asset(key=DATASET, partitions_def=dg.StaticPartitionsDefinition(WEEKS))
    def dataset(context: dg.AssetExecutionContext):
        world.published[WEEKS[0]] = Dataset("d", 1)
        yield dg.MaterializeResult()
        seen.append(world.tick())

    assert dg.materialize([dataset], partition_key=WEEKS[0], instance=world.instance).success
    assert seen == [[]]
    assert world.tick() == [f"{WEEKS[0]}:d"]
