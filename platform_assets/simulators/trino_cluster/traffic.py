"""The plan: which user sends which text at which second. A recorder and a generator send the same kind of traffic.

Times are scheduled by weekday, hour and month end. What does not belong here: what a query costs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import accumulate
from random import Random

import numpy as np

from platform_assets.simulators.trino_cluster.metadata import cheap_select, explained, looking_around, mistaken
from platform_assets.simulators.trino_cluster.shapes import peek, short_and_heavy
from platform_assets.simulators.trino_cluster.text_change import TextChange, rewritten
from platform_assets.simulators.trino_cluster.users import HOURS, KINDS, ROLES, Estate, User
from platform_assets.simulators.trino_cluster.writing import Pen, Statement

_SATURDAY = 5
_DAY = 86_400
MONTH_END = 1.25
"""How much busier the first and the last two days of a month are; jobs then also read longer periods."""
RENEWAL = 0.012
"""Probability, at each statement, that its sender gives up a template for a new one."""
_MONTH_END_WIDTHS = (4, 4, 6, 8, 4, 4, 1, 0.5)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One query as it reaches the cluster."""

    second: int
    user: int
    """Position in the list of users."""
    statement: Statement
    estate: Estate
    patience: float | None
    """None: waits for the end; else 0 to 1, how long the sender waits among those who do not."""
    text_changed: bool = False
    """Written as the planted change of texts has it."""


@dataclass(frozen=True)
class Habits:
    """The strengths that a scenario sets."""

    repeats: float | None = None
    """Repeat share of people; None leaves each role its own."""
    season: float = 1.0
    drift: float = 1.0
    text_change: TextChange | None = None


class Traffic:
    """Sends `counts[d]` queries on day d, in the order of time; going through it again needs new users."""

    def __init__(self, users: list[User], days: list[date], total: int, seed: int, habits: Habits) -> None:
        self.users, self._days, self._seed, self._habits = users, days, seed, habits
        weights = np.array([_busy(day, habits.season) for day in days])
        bounds = np.rint(np.cumsum(weights) / weights.sum() * total).astype(int)
        self.counts = np.diff(bounds, prepend=0).tolist()
        self._kind_weights = {role.name: list(accumulate(role.kinds)) for role in ROLES}
        self._traffic = {role.name: role.traffic for role in ROLES}

    def days(self) -> Iterator[Iterator[Arrival]]:
        """The days one after the other; each has to be consumed before the next."""
        for number in range(len(self._days)):
            yield self._day(number)

    def _day(self, number: int) -> Iterator[Arrival]:
        day, rng = self._days[number], Random(f"{self._seed} {number}")
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        for user in self.users:
            user.drawn_charts.clear()
        seconds, senders = self._schedule(number)
        for second, sender in zip(seconds.tolist(), senders.tolist(), strict=True):
            yield self._sent(self._arrival(rng, day, start + second, sender), number)

    def _sent(self, arrival: Arrival, number: int) -> Arrival:
        change = self._habits.text_change
        if change is None or not change.reaches(arrival.statement, number):
            return arrival
        return replace(arrival, statement=rewritten(arrival.statement), text_changed=True)

    def _schedule(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) seconds of the day, rising, and (N,) senders."""
        generator, count = np.random.default_rng([self._seed, number]), self.counts[number]
        chances = self._chances(number)
        senders = generator.choice(len(self.users), size=count, p=chances)
        hours = np.empty(count, np.int64)
        for name in HOURS:
            of_profile = [user.role.hours == name for user in self.users]
            chosen = np.asarray(of_profile)[senders]
            shape = np.array(HOURS[name], float) ** self._habits.season
            hours[chosen] = generator.choice(24, size=int(chosen.sum()), p=shape / shape.sum())
        seconds = hours * 3_600 + generator.integers(0, 3_600, count)
        order = np.argsort(seconds, kind="stable")
        return seconds[order], senders[order]

    def _chances(self, number: int) -> np.ndarray:
        """(U,) who sends on this day: each role its share, inside it by activity of those present."""
        weekend = self._days[number].weekday() >= _SATURDAY
        present = np.array([user.activity * (user.born <= number <= user.last) for user in self.users])
        chances = np.zeros(len(self.users))
        for role in ROLES:
            members = np.array([user.role is role for user in self.users])
            share = role.traffic * (role.weekend**self._habits.season if weekend else 1.0)
            chances[members] = share * present[members] / present[members].sum()
        return chances / chances.sum()

    def _arrival(self, rng: Random, day: date, second: int, sender: int) -> Arrival:
        user = self.users[sender]
        role = user.role
        if rng.random() < RENEWAL * self._habits.drift:
            user.renew(rng)
        repeats = role.repeats if self._habits.repeats is None or not role.repeats else self._habits.repeats
        if user.recent and rng.random() < repeats:
            statement, estate = rng.choice(user.recent)
        else:
            estate = user.small if rng.random() < role.sandbox else user.home
            statement = self._laid_out(user, self._statement(rng, user, day), rng)
            user.recent.append((statement, estate))
        patience = rng.random() if role.cancels and rng.random() < role.cancels else None
        return Arrival(second, sender, statement, estate, patience)

    def _statement(self, rng: Random, user: User, day: date) -> Statement:
        weights = self._kind_weights[user.role.name]
        kind = KINDS[bisect_right(weights, rng.random() * weights[-1])]
        pen = Pen(rng, day, self._widths(user, day), user.forgets)
        statement = self._of_kind(kind, pen, user, day)
        is_query = statement.text.startswith(("SELECT", "WITH")) and "FROM " in statement.text
        return mistaken(statement, rng) if is_query and rng.random() < user.role.mistakes else statement

    def _of_kind(self, kind: str, pen: Pen, user: User, day: date) -> Statement:
        if kind == "chart":
            return self._chart(pen.rng.choice(user.charts), user, day)
        if kind == "metadata":
            return looking_around(pen)
        if kind == "cheap_select":
            return cheap_select(pen)
        if kind == "peek":
            return peek(pen)
        if kind == "short_and_heavy":
            return short_and_heavy(pen)
        work = pen.rng.choice(user.reports)(pen) if kind == "report" else pen.rng.choice(user.shapes).write(pen)
        if kind in ("explain", "analyse") and work.update_type is None:
            return explained(work, analysed=kind == "analyse")
        if kind == "prepared" and work.update_type is None:
            return replace(work, text="EXECUTE statement1", prepared=work.text)
        return work

    def _chart(self, seed: int, user: User, day: date) -> Statement:
        """The day's text of a chart: everything but the day is fixed by its seed."""
        statement = user.drawn_charts.get(seed)
        if statement is None:
            rng = Random(seed)
            pen = Pen(rng, day, self._widths(user, day), 0.0, current=True)
            work = rng.choice(user.reports) if rng.random() < 0.6 else rng.choice(user.shapes).write
            statement = user.drawn_charts[seed] = work(pen)
        return statement

    def _widths(self, user: User, day: date) -> tuple[float, ...]:
        if user.role.name == "job" and self._habits.season and _is_month_end(day):
            return _MONTH_END_WIDTHS
        return user.widths

    def _laid_out(self, user: User, statement: Statement, rng: Random) -> Statement:
        """In the sender's way of writing. A service puts its own mark before the text, which changes with every run."""
        text = statement.text
        if user.role.name == "job":
            return replace(statement, text=f"/* dag=daily, run={rng.randrange(16**6):06x} */\n{text}")
        if user.role.name in ("dashboard", "monitor") or statement.query_type == "DESCRIBE":
            return statement
        return replace(statement, text=_LAYOUTS[user.layout](text))


def _lower(text: str) -> str:
    parts = text.split("'")
    parts[::2] = [part.lower() for part in parts[::2]]
    return "'".join(parts)


_LAYOUTS = {
    "as_written": lambda text: text,
    "one_line": lambda text: " ".join(text.split()),
    "lower": _lower,
    "commented": lambda text: f"-- checked with the business\n{text}",
    "lower_one_line": lambda text: " ".join(_lower(text).split()),
}


def _is_month_end(day: date) -> bool:
    return day.day == 1 or day.day >= 29


def _busy(day: date, season: float) -> float:
    weekday = 0.35 if day.weekday() >= _SATURDAY else 1.0
    return (weekday * (MONTH_END if _is_month_end(day) else 1.0)) ** season
