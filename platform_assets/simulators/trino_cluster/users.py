"""Who sends queries: roles, and users with habits of their own, who come and go.

A role says what its people do and when; a user has favourites, a taste in periods, a way to lay out text, a home schema.
What does not belong here: what is sent at a given moment, which is `traffic`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from platform_assets.simulators.trino_cluster.reports import REPORTS, Report
from platform_assets.simulators.trino_cluster.shapes import Shape, draw_shape
from platform_assets.simulators.trino_cluster.writing import Statement

KINDS = (
    "report", "shape", "chart", "peek", "short_and_heavy", "metadata", "cheap_select", "explain", "analyse", "prepared"
)  # fmt: skip


@dataclass(frozen=True)
class Role:
    """What one kind of user does; shares and weights are relative."""

    name: str
    traffic: float
    users: float
    source: str | None
    agent: str
    client_info: str | None
    kinds: tuple[float, ...]
    """Weights of KINDS."""
    widths: tuple[float, ...]
    """Weights of the periods, shortest first."""
    forgets: float
    """Probability that one filter is left out."""
    hours: str
    weekend: float
    """Activity on Saturday and Sunday, against a working day."""
    repeats: float
    mistakes: float
    cancels: float
    """Share of statements whose sender has little patience."""
    sandbox: float
    """Share of statements sent to the small schema."""
    hurried: bool = False
    """The session carries a limit of run time."""


ROLES = (
    Role("dashboard", 0.33, 0.15, "superset", "trino-python-client/0.333.0", "CURATED dashboard",
         (2, 0, 40, 0, 0, 2, 8, 0, 0, 0), (3, 8, 10, 5, 2, 1, 0.2, 0.02), 0.0, "office", 0.6, 0.0, 0.001, 0.0, 0.03, True),
    Role("job", 0.1, 0.1, "airflow", "trino-python-client/0.333.0", "CURATED job",
         (6, 2, 30, 0, 0, 2, 2, 0, 0, 2), (20, 4, 4, 1, 0.3, 0.1, 0.1, 0.1), 0.002, "night", 1.0, 0.0, 0.002, 0.0, 0.1),
    Role("analyst", 0.3, 0.4, "datagrip", "trino-jdbc/476", "NON-CURATED",
         (14, 38, 0, 9, 0.4, 16, 3, 3, 0.6, 1.5), (8, 14, 14, 8, 4, 4, 1.4, 1.0), 0.03, "office", 0.15, 0.2, 0.03, 0.02, 0.2),
    Role("scientist", 0.12, 0.15, "jupyter", "trino-python-client/0.333.0", "NON-CURATED",
         (9, 40, 0, 8, 2.5, 10, 2, 2, 1.5, 3), (4, 7, 10, 8, 6, 8, 8, 6), 0.05, "late", 0.4, 0.25, 0.04, 0.05, 0.35),
    Role("newcomer", 0.07, 0.17, "trino-cli", "StatementClientV1/476", None,
         (6, 16, 0, 20, 1.5, 34, 5, 3, 0.5, 0), (4, 6, 8, 6, 4, 4, 3, 3), 0.12, "office", 0.2, 0.15, 0.12, 0.08, 0.3),
    Role("monitor", 0.08, 0.03, None, "trino-jdbc/476", None,
         (0, 0, 0, 0.3, 0, 20, 80, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0, 0), 0.0, "always", 1.0, 0.0, 0.0, 0.0, 0.0),
)  # fmt: skip
HOURS = {
    "office": (1, 1, 1, 1, 1, 2, 5, 14, 34, 46, 48, 42, 30, 38, 46, 44, 36, 22, 10, 5, 4, 3, 2, 1),
    "late": (8, 4, 2, 1, 1, 1, 2, 5, 12, 24, 36, 38, 32, 36, 42, 44, 42, 36, 28, 24, 24, 22, 18, 12),
    "night": (30, 50, 60, 50, 40, 30, 20, 8, 3, 2, 2, 2, 4, 2, 2, 2, 2, 2, 4, 4, 6, 8, 10, 20),
    "always": (1,) * 24,
}
FIRST_NAMES = ("ada", "boris", "chen", "dina", "emil", "farah", "goro", "hana", "igor", "jana", "kofi", "lena", "milo")
LAYOUTS = ("as_written", "one_line", "lower", "commented", "lower_one_line")


@dataclass(frozen=True)
class Estate:
    """A catalog and schema, and how many times the data of `sales` it holds."""

    catalog: str
    schema: str
    size: float


@dataclass
class User:
    """One sender. Shapes, charts and recent texts change while the calendar runs; all of it is bounded."""

    name: str
    role: Role
    home: Estate
    small: Estate
    born: int
    """First day in the calendar."""
    last: int
    activity: float
    widths: tuple[float, ...]
    forgets: float
    layout: str
    reports: tuple[Report, ...]
    shapes: list[Shape]
    charts: list[int]
    """Seeds: a chart is one statement a day, the same text however often it is loaded."""
    recent: deque[tuple[Statement, Estate]] = field(default_factory=lambda: deque(maxlen=6))
    drawn_charts: dict[int, Statement] = field(default_factory=dict)

    def renew(self, rng: Random) -> None:
        """One template is given up for a new one."""
        self.shapes[rng.randrange(len(self.shapes))] = draw_shape(rng)
        self.charts[rng.randrange(len(self.charts))] = rng.randrange(2**40)


def draw_users(rng: Random, count: int, days: int, estates: tuple[Estate, ...], drift: float) -> list[User]:
    """`count` users, every role at least once; with drift a third of the people come and a sixth go inside the calendar."""
    numbers = [max(1, round(role.users * count)) for role in ROLES]
    numbers[2] += count - sum(numbers)
    if numbers[2] < 1:
        numbers = [1] * len(ROLES)
    members = [(role, number) for role, several in zip(ROLES, numbers, strict=True) for number in range(several)]
    return [_user(rng, role, number, days, estates, drift) for role, number in members]


def _user(rng: Random, role: Role, number: int, days: int, estates: tuple[Estate, ...], drift: float) -> User:
    is_person = role.name in ("analyst", "scientist", "newcomer")
    moves = is_person and number > 0
    born = rng.randrange(1, days) if days > 1 and moves and rng.random() < 0.35 * drift else 0
    last = rng.randrange(born, days) if moves and rng.random() < 0.17 * drift else days - 1
    return User(
        name=f"{rng.choice(FIRST_NAMES)}.{role.name[0]}{number}" if is_person else f"svc_{role.name}_{number}",
        role=role,
        home=estates[0] if number == 0 else rng.choice(estates[:-1]),
        small=estates[-1],
        born=born,
        last=last,
        activity=rng.lognormvariate(0, 0.8),
        widths=tuple(weight * rng.lognormvariate(0, 0.7) for weight in role.widths),
        forgets=min(role.forgets * rng.lognormvariate(0, 0.5), 0.5),
        layout=rng.choice(LAYOUTS),
        reports=tuple(rng.sample(REPORTS, 5)),
        shapes=[draw_shape(rng) for _ in range(6)],
        charts=[rng.randrange(2**40) for _ in range(8)],
    )
