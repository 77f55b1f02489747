"""The retraining sensor: every new week that passed its checks is seen, once, whatever happens between two ticks."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.orchestration.resources import LakeResource
from platform_assets.orchestration.retraining import Cursor, Dataset, Policy, due, retrain

DATASET = dg.AssetKey(["rooms", "dataset"])
WEEKS = ["2026-01-02", "2026-01-09", "2026-01-16", "2026-01-23", "2026-01-30", "2026-02-06"]


class World:
    """What is published; its instance outlives a sensor, as a daemon's does its restarts."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance, self.folder = instance, folder
        self.published: dict[str, Dataset] = {}
        self.cursor: str | None = None
        self.broken = False

    def publish(self, week: str, rows: int = 100, failed: tuple[str, ...] = (), digest: str = "d") -> None:
        self.published[week] = Dataset(f"{digest}-{week}", rows, failed)
        self.instance.report_runless_asset_event(dg.AssetMaterialization(DATASET, partition=week))

    def tick(self, policy: Policy | None = None) -> list[str]:
        """The run keys of a tick; a tick that breaks keeps the cursor it had, as the daemon does."""

        def read(lake: LakeResource, week: str) -> Dataset | None:
            if self.broken:
                raise ConnectionError("the lake is away")
            return self.published.get(week)

        sensor = retrain("new_weeks", DATASET, "job", policy or Policy(), read)
        lake = LakeResource(url=str(self.folder))
        with dg.build_sensor_context(self.instance, self.cursor, resources={"lake": lake}) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return [str(request.run_key) for request in result.run_requests or []]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance, tmp_path)


def keys(*weeks: str, digest: str = "d") -> list[str]:
    return [f"{week}:{digest}-{week}" for week in weeks]


def test_a_burst_of_four_weeks_between_two_ticks_loses_none(world: World) -> None:
    for week in reversed(WEEKS[:4]):
        world.publish(week)
    assert world.tick() == keys(*WEEKS[:4])
    assert world.tick() == []


def test_a_restarted_daemon_goes_on_where_its_cursor_stands(world: World) -> None:
    world.publish(WEEKS[0])
    assert world.tick() == keys(WEEKS[0])
    world.publish(WEEKS[1])
    assert world.tick() == keys(WEEKS[1])


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


def test_a_week_that_failed_a_check_is_trained_on_once_it_is_mended(world: World) -> None:
    world.publish(WEEKS[0], failed=("drift",))
    assert world.tick() == []
    world.publish(WEEKS[0], digest="mended")
    assert world.tick() == keys(WEEKS[0], digest="mended")


def test_late_data_in_an_old_week_waits_for_the_next_training(world: World) -> None:
    world.publish(WEEKS[1])
    assert world.tick() == keys(WEEKS[1])
    world.publish(WEEKS[0], digest="late")
    world.publish(WEEKS[1], digest="late")
    assert world.tick() == []


def test_weeks_wait_for_the_gap_and_for_enough_new_rows(world: World) -> None:
    every_other = Policy(gap_weeks=2)
    for week in WEEKS[:4]:
        world.publish(week)
    assert world.tick(every_other) == keys(WEEKS[0], WEEKS[2])
    many_rows = Policy(minimum_new_rows=250)
    world.publish(WEEKS[4])
    assert world.tick(many_rows) == []
    world.publish(WEEKS[5])
    assert world.tick(many_rows) == keys(WEEKS[5])  # weeks 3, 4 and 5: 300 rows


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


@given(
    st.lists(st.tuples(st.sampled_from(WEEKS), st.booleans(), st.integers(1, 300)), max_size=12),
    st.integers(1, 3),
    st.integers(1, 400),
)
def test_requests_are_in_order_apart_and_never_of_a_week_that_failed(
    arrivals: list[tuple[str, bool, int]], gap: int, rows: int
) -> None:
    cursor, published, asked = Cursor(), {}, []
    for week, passed, count in arrivals:
        published[week] = Dataset("d", count, () if passed else ("check",))
        requested = due(cursor, Policy(gap, rows), [week], published.get, lambda text: None)
        assert all(not published[each].failed for each, _ in requested)
        asked += [each for each, _ in requested]
        cursor = Cursor.read(cursor.write())
    positions = [WEEKS.index(week) for week in asked]
    assert all(later - earlier >= gap for earlier, later in itertools.pairwise(positions))
