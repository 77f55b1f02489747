"""Free variations, as analysts write them: a shape is joins, groups, measures, filters and a form, drawn once and kept.

A person has a few shapes and writes them again and again with other parameters, so that a shape is a template in the log.
How heavy one is follows from period, missing filters and schema more than from the shape itself. What does not belong
here: fixed reports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from platform_assets.simulators.trino_cluster.writing import (
    COLOURS,
    MODES,
    PRIORITIES,
    REGIONS,
    SEGMENTS,
    WHOLE_DAYS,
    Pen,
    Statement,
    Traits,
    conditions,
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A table to start from: its date column, its measures, and its own groupings with their cardinality."""

    table: str
    date: str
    measures: tuple[str, ...]
    groups: tuple[tuple[str, int], ...]
    joins: tuple[tuple[str, str], ...]
    """Each join and the table it opens; later ones build on earlier ones."""
    joined_groups: tuple[tuple[tuple[str, int], ...], ...]


_ORDER_SIDE = (
    ("JOIN customer ON c_custkey = o_custkey", "customer"),
    ("JOIN nation ON n_nationkey = c_nationkey", "nation"),
    ("JOIN region ON r_regionkey = n_regionkey", "region"),
)
_ORDER_GROUPS = ((("c_mktsegment", 0), ("c_name", 2)), (("n_name", 0),), (("r_name", 0),))
LINES = Fact(
    "lineitem", "l_shipdate",
    ("sum(l_extendedprice * (1 - l_discount)) AS revenue", "sum(l_quantity) AS quantity", "avg(l_discount) AS discount",
     "count(*) AS lines", "max(l_extendedprice) AS dearest", "approx_distinct(l_suppkey) AS suppliers",
     "approx_percentile(l_extendedprice, 0.95) AS p95_price", "stddev(l_quantity) AS spread",
     "count(DISTINCT l_orderkey) AS orders", "count(DISTINCT l_partkey) AS parts"),
    (("l_returnflag", 0), ("l_linestatus", 0), ("l_shipmode", 0), ("date_trunc('month', l_shipdate)", 0),
     ("year(l_shipdate)", 0), ("l_suppkey", 1), ("l_partkey", 2), ("l_orderkey", 3)),
    (("JOIN orders ON o_orderkey = l_orderkey", "orders"), *_ORDER_SIDE),
    ((("o_orderpriority", 0), ("o_custkey", 2)), *_ORDER_GROUPS),
)  # fmt: skip
PARTS = replace(
    LINES,
    joins=(("JOIN part ON p_partkey = l_partkey", "part"), ("JOIN supplier ON s_suppkey = l_suppkey", "supplier"),
           ("JOIN nation ON n_nationkey = s_nationkey", "nation")),
    joined_groups=((("p_brand", 0), ("p_type", 0), ("p_name", 2)), (("s_name", 1),), (("n_name", 0),)),
)  # fmt: skip
ORDERS = Fact(
    "orders", "o_orderdate",
    ("count(*) AS orders", "sum(o_totalprice) AS value", "avg(o_totalprice) AS mean_value", "max(o_totalprice) AS largest",
     "count(DISTINCT o_custkey) AS customers", "approx_distinct(o_clerk) AS clerks",
     "approx_percentile(o_totalprice, 0.5) AS median_value", "min(o_orderdate) AS first_order"),
    (("o_orderstatus", 0), ("o_orderpriority", 0), ("date_trunc('week', o_orderdate)", 0), ("year(o_orderdate)", 0),
     ("o_clerk", 1), ("o_custkey", 2), ("o_orderkey", 3)),
    _ORDER_SIDE, _ORDER_GROUPS,
)  # fmt: skip
FACTS = (LINES, PARTS, ORDERS)
FORMS = ("plain", "plain", "top", "having", "ranked", "compared", "counted", "stored", "raw")
_COMMENTS = ("%special%requests%", "%pending%deposits%", "%express%packages%", "%quickly%")
_LIKELY_GROUPS = (1.0, 0.5, 0.3, 0.15)


@dataclass(frozen=True, slots=True)
class Shape:
    """One person's template; `write` fills in the parameters."""

    fact: Fact
    joins: int
    groups: tuple[tuple[str, int], ...]
    measures: tuple[str, ...]
    filters: tuple[str, ...]
    form: str
    widths: tuple[float, ...] | None
    """Its own taste in periods, where it has one: a monthly figure is asked for by the month."""
    weight: float
    """The planted cost of the template itself, in standard deviations."""

    def write(self, pen: Pen) -> Statement:
        """The statement, and what its cost depends on."""
        where = conditions(pen.period(self.fact.date, self.widths), *(self._filter(name, pen) for name in self.filters))
        text = getattr(self, f"_{self.form}")(pen, where)
        cardinality = max((high for _, high in self.groups), default=0)
        distinct = sum("DISTINCT" in measure for measure in self.measures)
        likes = sum(name in ("comment", "part_name") for name in self.filters)
        statement = pen.done(
            text, f"{self.fact.table}_{self.form}", joins=self.joins, groups=cardinality, distinct=distinct, likes=likes,
            template=self.weight,
        )  # fmt: skip
        if self.form != "stored":
            return statement
        return replace(statement, query_type="INSERT", update_type="CREATE TABLE")

    def _source(self) -> str:
        return "\n".join([f"FROM {self.fact.table}", *(join for join, _ in self.fact.joins[: self.joins])])

    def _select(self, where: str) -> str:
        columns = ", ".join([name for name, _ in self.groups] + list(self.measures))
        grouped = "GROUP BY " + ", ".join(str(number + 1) for number in range(len(self.groups))) if self.groups else ""
        return "\n".join(part for part in (f"SELECT {columns}", self._source(), where, grouped) if part)

    def _plain(self, pen: Pen, where: str) -> str:
        return self._select(where) + ("\nORDER BY 1" if self.groups else "")

    def _top(self, pen: Pen, where: str) -> str:
        return f"{self._select(where)}\nORDER BY {len(self.groups) + 1} DESC\nLIMIT {pen.rng.choice((5, 10, 50, 1000))}"

    def _having(self, pen: Pen, where: str) -> str:
        return f"{self._select(where)}\nHAVING count(*) > {pen.rng.choice((1, 2, 5, 10, 100))}"

    def _ranked(self, pen: Pen, where: str) -> str:
        partition = self.groups[0][0] if self.groups else self.fact.date
        return f"""WITH ranked AS (
SELECT {self.fact.table}.*, row_number() OVER (PARTITION BY {partition} ORDER BY {self.fact.date} DESC) AS rn
{self._source()}
{where}
)
SELECT count(*) AS kept FROM ranked WHERE rn <= {pen.rng.randint(1, 10)}"""

    def _compared(self, pen: Pen, where: str) -> str:
        days = pen.days
        earlier = conditions(pen.period(self.fact.date, self.widths))
        pen.days += days
        return f"{self._select(where)}\nUNION ALL\n{self._select(earlier)}"

    def _counted(self, pen: Pen, where: str) -> str:
        return f"SELECT count(*) FROM (\n{self._select(where)}\n) q"

    def _stored(self, pen: Pen, where: str) -> str:
        return f"CREATE TABLE sandbox.tmp_{pen.rng.randrange(16**6):06x} AS\n{self._select(where)}"

    def _raw(self, pen: Pen, where: str) -> str:
        limit = "" if pen.rng.random() < 0.06 else f"\nLIMIT {pen.rng.choice((10, 100, 1000))}"
        return f"SELECT *\n{self._source()}\n{where}{limit}".replace("\n\n", "\n")

    def _filter(self, name: str, pen: Pen) -> str:
        if pen.forget():
            return ""
        return _FILTERS[name](pen)


_FILTERS = {
    "mode": lambda pen: f"l_shipmode {pen.words(MODES)}",
    "quantity": lambda pen: f"l_quantity >= {pen.rng.randint(1, 45)}",
    "flag": lambda pen: f"l_returnflag = '{pen.rng.choice('ANR')}'",
    "priority": lambda pen: f"o_orderpriority {pen.words(PRIORITIES)}",
    "price": lambda pen: f"o_totalprice > {pen.rng.randrange(10, 400) * 1_000}",
    "comment": lambda pen: f"o_comment LIKE '{pen.rng.choice(_COMMENTS)}'",
    "segment": lambda pen: f"c_mktsegment {pen.words(SEGMENTS)}",
    "region": lambda pen: f"r_name {pen.words(REGIONS, 2)}",
    "part_name": lambda pen: f"p_name LIKE '%{pen.rng.choice(COLOURS)}%'",
    "brand": lambda pen: f"p_brand = 'Brand#{pen.rng.randint(1, 5)}{pen.rng.randint(1, 5)}'",
}
_LINE_FILTERS = ("mode", "quantity", "flag")
_OPENED_FILTERS = {"orders": ("priority", "price", "comment"), "customer": ("segment",), "region": ("region",),
                   "part": ("part_name", "brand")}  # fmt: skip


def draw_shape(rng: Random) -> Shape:
    """A new template; nothing of it depends on who will use it."""
    fact = rng.choice(FACTS)
    joins = rng.choices(range(len(fact.joins) + 1), [3, 3, 2, 1, 1][: len(fact.joins) + 1])[0]
    groupings = [*fact.groups, *(group for opened in fact.joined_groups[:joins] for group in opened)]
    weights = [_LIKELY_GROUPS[high] for _, high in groupings]
    groups = tuple(dict.fromkeys(rng.choices(groupings, weights, k=rng.choice((0, 1, 1, 2, 2, 3)))))
    measures = tuple(rng.sample(fact.measures, rng.randint(1, 4)))
    filters = list(_LINE_FILTERS if fact.table == "lineitem" else _OPENED_FILTERS["orders"])
    for _, opened in fact.joins[:joins]:
        filters += _OPENED_FILTERS.get(opened, ())
    chosen = tuple(rng.sample(filters, min(len(filters), rng.choice((0, 1, 1, 2, 3)))))
    return Shape(fact, joins, groups, measures, chosen, rng.choice(FORMS), _own_widths(rng), rng.gauss(0, 1))


def _own_widths(rng: Random) -> tuple[float, ...] | None:
    """Half of the shapes have a usual period, and are now and then asked for another."""
    if rng.random() < 0.5:
        return None
    usual = rng.randrange(6)
    return (*(12.0 if number == usual else 1.0 for number in range(7)), 0.4)


def peek(pen: Pen) -> Statement:
    """A look into a table, which everybody takes."""
    table, key = pen.rng.choice((("lineitem", "l_orderkey"), ("orders", "o_orderkey"), ("customer", "c_custkey")))
    if pen.rng.random() < 0.5:
        return Statement(f"SELECT * FROM {table} LIMIT {pen.rng.choice((1, 10, 100))}", "peek", Traits(days=1))
    text = f"SELECT * FROM {table} WHERE {key} = {pen.rng.randrange(1, 150_000)}"
    return Statement(text, "lookup", Traits(days=WHOLE_DAYS))


def short_and_heavy(pen: Pen) -> Statement:
    """A handful of words that read everything: no rule on length or joins sees them."""
    text, family = pen.rng.choice((
        ("SELECT count(DISTINCT l_orderkey) FROM lineitem", "count_distinct"),
        ("SELECT DISTINCT o_custkey, o_clerk FROM orders", "distinct_pairs"),
        ("SELECT l_orderkey, sum(l_quantity) FROM lineitem GROUP BY l_orderkey ORDER BY 2 DESC LIMIT 10", "group_all"),
        ("SELECT count(*) FROM lineitem", "count_all"),
    ))  # fmt: skip
    return Statement(text, family, Traits(groups=3 if family == "group_all" else 0, distinct=int("DISTINCT" in text)))
