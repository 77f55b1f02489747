"""What a statement is, and the pen it is written with: how wide a period, which values, whether a filter is forgotten.

The traits are what a statement's cost is explained with when a law is fitted; they are written into no log. What does not
belong here: the statements themselves (`reports`, `shapes`, `metadata`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

# Data is as old as TPC-H: the reports of 2 June 2025 ask for the days before 2 June 1998.
YEARS_BEHIND = 27
WHOLE_DAYS = 2_400
FIRST_DAY = date(1992, 1, 1)
WIDTHS = (1, 7, 30, 91, 182, 365, 1_096, WHOLE_DAYS)
"""How many days a period covers; the last is everything there is."""
SEGMENTS = ("AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY")
PRIORITIES = ("1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW")
MODES = ("AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK")
REGIONS = ("AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST")
NATIONS = (
    "ALGERIA",
    "BRAZIL",
    "CANADA",
    "CHINA",
    "FRANCE",
    "GERMANY",
    "INDIA",
    "JAPAN",
    "KENYA",
    "PERU",
    "SAUDI ARABIA",
)
COLOURS = ("almond", "azure", "chocolate", "forest", "green", "ivory", "lemon", "misty", "navy", "plum", "steel")
METALS = ("TIN", "NICKEL", "BRASS", "STEEL", "COPPER")


@dataclass(frozen=True, slots=True)
class Traits:
    """What drives a statement's cost, besides its family: the numbers a law's coefficients belong to."""

    days: float = WHOLE_DAYS
    """Days of the fact table inside the period; everything where there is no date filter."""
    forgot: bool = False
    """A filter the template usually has is missing."""
    joins: int = 0
    groups: int = 0
    """Cardinality of the grouping: 0 a handful, 1 thousands, 2 a tenth of the rows, 3 nearly every row."""
    distinct: int = 0
    likes: int = 0
    template: float = 0.0
    """What a generated template costs besides the rest, in standard deviations of a log factor; a recording ignores it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One text as Trino would log it, with the family it was written from."""

    text: str
    family: str
    traits: Traits = Traits()
    query_type: str | None = "SELECT"
    update_type: str | None = None
    prepared: str | None = None


NO_WORK = Traits(days=1)


class Pen:
    """Draws the parameters of one statement: from one user's taste, as of one day.

    `current` periods all end on that day, as a chart's do; others may lie up to two years back.
    """

    def __init__(
        self, rng: Random, day: date, widths: tuple[float, ...], forgets: float, current: bool = False
    ) -> None:
        self.rng, self._current = rng, current
        # The data's calendar has the same leap years apart from one, and nobody reports on the 29th of February.
        self.today = day.replace(year=day.year - YEARS_BEHIND, day=min(day.day, 28))
        self._widths, self._forgets = widths, forgets
        self.days = float(WHOLE_DAYS)
        self.forgot = False

    def width(self, widths: tuple[float, ...] | None = None) -> int:
        """Days of a period, by taste."""
        return self.rng.choices(WIDTHS, widths or self._widths)[0]

    def forget(self) -> bool:
        """Whether this filter is left out."""
        forgotten = self.rng.random() < self._forgets
        self.forgot |= forgotten
        return forgotten

    def period(self, column: str, widths: tuple[float, ...] | None = None) -> str:
        """A condition on a date column, or none when the filter is forgotten or all days are wanted."""
        days = self.width(widths)
        if days >= WHOLE_DAYS or self.forget():
            self.days = float(WHOLE_DAYS)
            return ""
        back = 0 if self._current or self.rng.random() < 0.5 else self.rng.randrange(700)
        end = max(self.today - timedelta(days=back), FIRST_DAY + timedelta(days=days))
        self.days = float(days)
        return self._written(column, end, days)

    def _written(self, column: str, end: date, days: int) -> str:
        start, way = end - timedelta(days=days), self.rng.randrange(4)
        if way == 0:
            return f"{column} >= DATE '{start}' AND {column} < DATE '{end}'"
        if way == 1:
            return f"{column} BETWEEN DATE '{start}' AND DATE '{end - timedelta(days=1)}'"
        if way == 2:
            return f"{column} >= DATE '{end}' - INTERVAL '{days}' DAY AND {column} < DATE '{end}'"
        return f"{column} >= date_add('day', -{days}, DATE '{end}') AND {column} < DATE '{end}'"

    def words(self, choices: tuple[str, ...], most: int = 3) -> str:
        """`= 'A'` or `IN ('A', 'B')`."""
        some = self.rng.sample(choices, self.rng.randint(1, min(most, len(choices))))
        return f"= '{some[0]}'" if len(some) == 1 else "IN (" + ", ".join(f"'{word}'" for word in some) + ")"

    def done(self, text: str, family: str, **traits: float) -> Statement:
        """The finished SELECT, with what was drawn for it."""
        return Statement(text, family, Traits(self.days, self.forgot, **traits))  # pyright: ignore[reportArgumentType]


def conditions(*parts: str) -> str:
    """`WHERE a AND b` of what is not empty."""
    some = [part for part in parts if part]
    return "WHERE " + "\n  AND ".join(some) if some else ""
