"""Which weeks a training is due for: at every tick what an oracle asks for that has no cursor and looks at all that ever was."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.orchestration.retraining import Cursor, Dataset, Policy, due
from platform_assets_tests.orchestration.retraining_world import WEEKS, keys


@dataclass
class History:
    """Lives through steps, each told to the sensor's logic and to an oracle that has no cursor and looks at all that ever was."""

    policy: Policy
    published: dict[str, Dataset] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    events: list[str] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    cursor: str = ""
    asked: list[str] = field(default_factory=list)
    inherited: str | None = None
    """The newest week that was there at the first tick whose cursor was saved; None before it."""

    def publish(self, week: str, passed: bool = True, rows: int = 100, urgent: str = "") -> None:
        self.published[week] = Dataset(f"d-{week}", rows, () if passed else ("check",), urgent=urgent)
        self.events.append(week)

    def supply(self, week: str, lacks: bool) -> None:
        self.lacks[week] = "recipes" if lacks else ""

    def train(self, week: str, is_trained: bool) -> None:
        (self.trained.add if is_trained else self.trained.discard)(week)

    def read(self, week: str) -> Dataset | None:
        self.looked_at.append(week)
        return replace(self.published[week], waits_for=self.lacks.get(week, ""), is_trained=week in self.trained)

    def tick(self, is_saved: bool = True) -> list[str]:
        """The weeks asked for. Saved, or the daemon died after it launched the runs: then the next tick asks for them again."""
        self.said, self.looked_at = [], []
        cursor = Cursor.read(self.cursor) or Cursor(inherited_id=len(self.events))
        new = list(enumerate(self.events, start=1))[cursor.storage_id :]
        seen = {week for number, each in new if (week := cursor.take(number, each))}
        requests, expected = due(cursor, self.policy, sorted(seen), self.read, self.said.append), self.expected()
        assert [key for _, key in requests] == keys(*(week for week in expected if week not in self.trained))
        if is_saved:
            self.inherited = self.newest() if self.inherited is None else self.inherited
            self.asked += expected
            self.cursor = cursor.write()
        return [week for week, _ in requests]

    def newest(self) -> str:
        return max(self.published, default="")

    def expected(self) -> list[str]:
        """Of the inherited weeks the newest that fits; then every later one that fits, oldest first; trained already or not.

        Where one is wanted, of all weeks the newest that fits."""
        inherited = self.newest() if self.inherited is None or self.policy.newest_only else self.inherited
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
        is_urgent = week in new and new[week].urgent
        enough = sum(found.rows for found in new.values()) >= self.policy.minimum_new_rows
        return week in new and bool(is_far or is_urgent) and enough and not self.lacks.get(week)


Step = Callable[[History], object]
weeks = st.sampled_from(WEEKS)
publications = st.builds(
    lambda *words: lambda history: history.publish(*words),
    weeks,
    st.booleans(),
    st.sampled_from([1, 100, 200]),
    st.sampled_from(["", "joins drifted"]),
)
steps = st.lists(
    st.one_of(
        publications,
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
@given(steps, st.integers(1, 3), st.sampled_from([1, 150, 300]), st.booleans())
def test_every_tick_asks_for_what_an_oracle_of_the_whole_history_asks_for(
    history: list[Step], gap: int, rows: int, newest_only: bool
) -> None:
    live(history, Policy(gap, rows, newest_only))


@settings(deadline=None, max_examples=300)
@given(steps)
def test_every_week_that_is_ready_in_the_end_and_not_older_than_a_trained_one_is_asked_for_exactly_once(
    history: list[Step],
) -> None:
    lived = live(history, Policy())
    assert sorted(set(lived.asked)) == lived.asked
    ready = {week for week, found in lived.published.items() if not found.failed}
    assert {week for week in ready if week > max(lived.asked, default="")} == set()


def after_a_first_training(policy: Policy) -> History:
    """The sensor was there before the first dataset, and its week was trained on."""
    lived = History(policy)
    lived.tick()
    lived.publish(WEEKS[0], rows=1_000)
    assert lived.tick() == [WEEKS[0]]
    return lived


def test_an_urgent_week_is_asked_for_within_the_gap_and_the_log_says_why() -> None:
    lived = after_a_first_training(Policy(gap_weeks=4))
    lived.publish(WEEKS[1])
    assert lived.tick() == []
    assert lived.said == [f"{WEEKS[1]} waits: 1 week(s) after the last training, of 4"]
    lived.publish(WEEKS[2], urgent="joins drifted")
    assert lived.tick() == [WEEKS[2]]
    assert f"{WEEKS[2]} does not wait for the gap of 4 weeks: joins drifted" in lived.said
    assert f"no training of their own for {WEEKS[1]}: {WEEKS[2]} is newer" in lived.said


def test_a_week_that_is_due_anyhow_is_not_said_to_be_urgent() -> None:
    lived = after_a_first_training(Policy(gap_weeks=2))
    lived.publish(WEEKS[2], urgent="joins drifted")
    assert lived.tick() == [WEEKS[2]]
    assert lived.said == []


def test_an_urgent_week_goes_before_a_newer_one_that_waits_for_the_gap() -> None:
    lived = after_a_first_training(Policy(gap_weeks=4, newest_only=True))
    lived.publish(WEEKS[1], urgent="joins drifted")
    lived.publish(WEEKS[2])
    assert lived.tick() == [WEEKS[1]]
    lived.publish(WEEKS[5])
    assert lived.tick() == [WEEKS[5]]


def test_an_urgent_week_waits_for_enough_new_rows_and_is_not_read_again_meanwhile() -> None:
    lived = after_a_first_training(Policy(gap_weeks=4, minimum_new_rows=100))
    lived.publish(WEEKS[1], rows=60, urgent="joins drifted")
    assert lived.tick() == []
    for _ in range(2):
        assert lived.tick() == []
        assert (lived.said, lived.looked_at) == ([f"{WEEKS[1]} waits: 60 new rows of 100"], [])
    lived.publish(WEEKS[2], rows=60, urgent="tables drifted")
    assert lived.tick() == [WEEKS[2]]


def test_an_urgent_week_waits_for_what_its_training_lacks() -> None:
    lived = after_a_first_training(Policy(gap_weeks=4))
    lived.supply(WEEKS[1], lacks=True)
    lived.publish(WEEKS[1], urgent="joins drifted")
    assert [lived.tick(), lived.tick()] == [[], []]
    assert lived.said[-1] == f"{WEEKS[1]} waits for recipes"
    lived.supply(WEEKS[1], lacks=False)
    assert lived.tick() == [WEEKS[1]]


def test_urgency_is_in_the_cursor_until_the_week_is_asked_for_or_is_urgent_no_longer() -> None:
    lived = after_a_first_training(Policy(gap_weeks=4, minimum_new_rows=1_000))

    def urgent() -> dict[str, str]:
        lived.tick()
        found = Cursor.read(lived.cursor)
        assert found is not None
        return found.urgent

    for week in WEEKS[1:4]:
        lived.publish(week, urgent=f"{week} drifted")
    assert urgent() == {week: f"{week} drifted" for week in WEEKS[1:4]}
    lived.publish(WEEKS[1])
    assert urgent() == {week: f"{week} drifted" for week in WEEKS[2:4]}
    lived.publish(WEEKS[2], passed=False, urgent="fails a check as well")
    assert urgent() == {WEEKS[3]: f"{WEEKS[3]} drifted"}
    lived.publish(WEEKS[4], rows=1_000, urgent="enough")
    assert urgent() == {}
    assert lived.asked == [WEEKS[0], WEEKS[4]]


def test_a_cursor_reads_back_as_it_was_written() -> None:
    cursor = Cursor(7, WEEKS[0], {WEEKS[1]: 5}, 3, WEEKS[2], {WEEKS[1]: "joins drifted"})
    assert Cursor.read(cursor.write()) == cursor
    assert Cursor.read("") is None
