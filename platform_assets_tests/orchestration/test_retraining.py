"""The retraining sensor: every new week that is ready is seen, once, whatever happens between two ticks."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.orchestration import automation
from platform_assets.orchestration.resources import LakeResource
from platform_assets.orchestration.retraining import Cursor, Dataset, Policy, due, retrain

DATASET = dg.AssetKey(["rooms", "dataset"])
WEEKS = ["2026-01-02", "2026-01-09", "2026-01-16", "2026-01-23", "2026-01-30", "2026-02-06"]


@dataclass
class World:
    """What is published; its instance outlives a sensor, as a daemon's does its restarts."""

    instance: dg.DagsterInstance
    folder: Path = Path("unused")
    published: dict[str, Dataset] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    cursor: str | None = None
    broken: bool = False
    said: str = ""

    def publish(self, week: str, rows: int = 100, failed: tuple[str, ...] = (), digest: str = "d") -> None:
        self.published[week] = Dataset(f"{digest}-{week}", rows, failed)
        self.instance.report_runless_asset_event(dg.AssetMaterialization(DATASET, partition=week))

    def read(self, week: str) -> Dataset | None:
        if self.broken:
            raise ConnectionError("the lake is away")
        found = self.published.get(week)
        return found and replace(found, waits_for=self.lacks.get(week, ""), is_trained=week in self.trained)

    def tick(self, policy: Policy | None = None) -> list[str]:
        """The run keys of a tick; a tick that breaks keeps the cursor it had, as the daemon does."""
        sensor = retrain("new_weeks", DATASET, "job", policy or Policy(), lambda lake: self.read)
        lake = LakeResource(url=str(self.folder))
        with dg.build_sensor_context(self.instance, self.cursor, resources={"lake": lake}) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor, self.said = result.cursor, result.skip_reason.skip_message or "" if result.skip_reason else ""
        return [str(request.run_key) for request in result.run_requests or []]


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


def keys(*weeks: str, digest: str = "d") -> list[str]:
    return [f"{week}:{digest}-{week}" for week in weeks]


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


@dataclass
class History:
    """Lives through steps, each told to the sensor's logic and to an oracle that has no cursor and looks at all that ever was."""

    policy: Policy
    published: dict[str, Dataset] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    events: list[str] = field(default_factory=list)
    cursor: str = ""
    asked: list[str] = field(default_factory=list)
    inherited: str | None = None
    """The newest week that was there at the first tick whose cursor was saved; None before it."""

    def publish(self, week: str, passed: bool, rows: int) -> None:
        self.published[week] = Dataset(f"d-{week}", rows, () if passed else ("check",))
        self.events.append(week)

    def supply(self, week: str, lacks: bool) -> None:
        self.lacks[week] = "recipes" if lacks else ""

    def train(self, week: str, is_trained: bool) -> None:
        (self.trained.add if is_trained else self.trained.discard)(week)

    def read(self, week: str) -> Dataset | None:
        return replace(self.published[week], waits_for=self.lacks.get(week, ""), is_trained=week in self.trained)

    def tick(self, is_saved: bool = True) -> None:
        """Saved, or the daemon died after it launched the runs: then the next tick asks for them again."""
        cursor = Cursor.read(self.cursor) or Cursor(inherited_id=len(self.events))
        new = list(enumerate(self.events, start=1))[cursor.storage_id :]
        seen = {week for number, each in new if (week := cursor.take(number, each))}
        requests, expected = due(cursor, self.policy, sorted(seen), self.read, lambda text: None), self.expected()
        assert [key for _, key in requests] == keys(*(week for week in expected if week not in self.trained))
        if is_saved:
            self.inherited = self.newest() if self.inherited is None else self.inherited
            self.asked += expected
            self.cursor = cursor.write()

    def newest(self) -> str:
        return max(self.published, default="")

    def expected(self) -> list[str]:
        """Of the inherited weeks the newest that fits; then every later one that fits, oldest first; trained already or not."""
        inherited = self.newest() if self.inherited is None else self.inherited
        asked = list(self.asked)
        for week in reversed(WEEKS):
            if week <= inherited and self.fits(week, asked):
                asked.append(week)
                break
        for week in WEEKS:
            if week > inherited and self.fits(week, asked):
                asked.append(week)
        return asked[len(self.asked) :]

    def fits(self, week: str, asked: list[str]) -> bool:
        last = max(asked, default="")
        new = {each: found for each, found in self.published.items() if last < each <= week and not found.failed}
        is_far = not last or WEEKS.index(week) - WEEKS.index(last) >= self.policy.gap_weeks
        enough = sum(found.rows for found in new.values()) >= self.policy.minimum_new_rows
        return week in new and is_far and enough and not self.lacks.get(week)


Step = Callable[[History], None]
weeks = st.sampled_from(WEEKS)
steps = st.lists(
    st.one_of(
        st.builds(
            lambda *words: lambda history: history.publish(*words), weeks, st.booleans(), st.sampled_from([1, 100, 200])
        ),
        st.builds(lambda *words: lambda history: history.supply(*words), weeks, st.booleans()),
        st.builds(lambda *words: lambda history: history.train(*words), weeks, st.booleans()),
        st.just(History.tick),
        st.just(lambda history: history.tick(is_saved=False)),
    ),
    max_size=25,
)


def live(history: list[Step], policy: Policy) -> History:
    lived = History(policy)
    for step in history:
        step(lived)
    lived.lacks.clear()
    lived.tick()
    lived.tick()
    return lived


@settings(deadline=None, max_examples=500)
@given(steps, st.integers(1, 3), st.sampled_from([1, 150, 300]))
def test_every_tick_asks_for_what_an_oracle_of_the_whole_history_asks_for(
    history: list[Step], gap: int, rows: int
) -> None:
    live(history, Policy(gap, rows))


@settings(deadline=None, max_examples=300)
@given(steps)
def test_every_week_that_is_ready_in_the_end_and_not_older_than_a_trained_one_is_asked_for_exactly_once(
    history: list[Step],
) -> None:
    lived = live(history, Policy())
    assert sorted(set(lived.asked)) == lived.asked
    ready = {week for week, found in lived.published.items() if not found.failed}
    assert {week for week in ready if week > max(lived.asked, default="")} == set()


def test_a_cursor_reads_back_as_it_was_written() -> None:
    cursor = Cursor(7, WEEKS[0], {WEEKS[1]: 5}, 3, WEEKS[2])
    assert Cursor.read(cursor.write()) == cursor
    assert Cursor.read("") is None
