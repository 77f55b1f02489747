"""Which node of a syntax tree counts for which feature.

Most features are the number of nodes of some classes. Where a class does not say enough (an OVER with or without an order, a
star in a list or in count(*)), a look at the node decides: one small function a class. What does not belong here is the walk
itself (`sql_tree`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import compress
from typing import Any, NamedTuple

from sqlglot import exp

Counts = dict[str, float]

_RANGES = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)
_NULL_SAFE = (exp.NullSafeEQ, exp.NullSafeNEQ)
_LIKES = (exp.Like, exp.ILike, exp.SimilarTo, exp.RegexpLike, exp.RegexpILike)
_PREDICATES = (*_RANGES, *_NULL_SAFE, *_LIKES, exp.EQ, exp.NEQ, exp.In, exp.Is, exp.Exists)
_GROUPINGS = (exp.Rollup, exp.Cube, exp.GroupingSets)
# What the parser's classes call functions, and no person does.
_NO_FUNCTIONS = (exp.Connector, exp.Case, exp.If, exp.Cast, exp.Exists, exp.Unnest, exp.Predicate)

EVERYWHERE: dict[str, tuple[type, ...]] = {
    "joins": (exp.Join,), "ctes": (exp.CTE,), "selects": (exp.Select,), "unnests": (exp.Unnest,), "likes": _LIKES,
    "aggregates": (exp.AggFunc,), "group_bys": (exp.Group,), "grouping_sets": _GROUPINGS, "havings": (exp.Having,),
    "windows": (exp.Window,), "columns": (exp.Column,), "functions": (exp.Func,), "conditionals": (exp.Case,),
    "intersects_excepts": (exp.Intersect, exp.Except), "coalesces": (exp.Coalesce,), "nullifs": (exp.Nullif,),
    "null_literals": (exp.Null,), "null_safe_comparisons": _NULL_SAFE,
}  # fmt: skip
BELOW_WHERE: dict[str, tuple[type, ...]] = {
    "where_predicates": _PREDICATES, "where_equalities": (exp.EQ,), "where_ranges": _RANGES, "where_ors": (exp.Or,),
    "where_subqueries": (exp.Select,),
}  # fmt: skip


class Region(NamedTuple):
    """Where a node is: SELECTs and WITHs around it, and whether a WHERE is."""

    selects: int
    withs: int
    is_filtered: bool


class Walk:
    """What is gathered on the way through a text's trees. `counts` holds every feature of them, by name."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.kinds: Counter[type] = Counter()
        self.tables: list[str] = []
        self.ctes: set[str] = set()
        self.unfiltered: list[list[str]] = []
        self._regions: dict[int, Region] = {}

    def visit(self, nodes: Sequence[Any]) -> None:
        """Takes the nodes of one tree, parents before children and the deepest last."""
        kinds = list(map(type, nodes))
        self.kinds.update(kinds)
        counts = self.counts
        for node in compress(nodes, map(_WATCHED.__contains__, kinds)):
            look, is_placed, below = _WATCHED[node.__class__]
            if look:
                look(node, counts, self)
            if is_placed and self.region(node).is_filtered:
                for name in below:
                    counts[name] += 1
        self._regions.clear()
        self.counts["tree_depth"] = max(self.counts["tree_depth"], _depth(nodes[-1]))

    def region(self, node: Any) -> Region:
        """Where a node is, itself included. What is climbed over is kept, so that a tree costs its size and no more."""
        path = []
        while node is not None and id(node) not in self._regions:
            path.append(node)
            node = node.parent
        region = Region(0, 0, False) if node is None else self._regions[id(node)]
        for inner in reversed(path):
            if inner.__class__ in _OPENING:
                region = self._enter(region, inner)
            self._regions[id(inner)] = region
        return region

    def _enter(self, region: Region, start: Any) -> Region:
        counts = self.counts
        if start.__class__ is exp.Select:
            counts["select_depth"] = max(counts["select_depth"], region.selects + 1)
            return Region(region.selects + 1, region.withs, region.is_filtered)
        if start.__class__ is exp.With:
            counts["nested_with_depth"] = max(counts["nested_with_depth"], region.withs + 1)
            return Region(region.selects, region.withs + 1, region.is_filtered)
        is_clause = start.parent.__class__ is not exp.Filter
        return Region(region.selects, region.withs, region.is_filtered or is_clause)

    def finish(self) -> None:
        """What is known once every node was seen."""
        counts = self.counts
        for kind, number in self.kinds.items():
            for name in _names(kind, False):
                counts[name] += number
        counts["nodes"], counts["node_types"] = self.kinds.total(), len(self.kinds)
        stored = [name for name in self.tables if name not in self.ctes]
        counts["tables"], counts["distinct_tables"] = len(stored), len(set(stored))
        counts["unfiltered_selects"] = sum(not self.ctes.issuperset(names) for names in self.unfiltered)


@cache
def _names(kind: type, is_filtered: bool) -> tuple[str, ...]:
    """The features that a node of a class counts for."""
    table = BELOW_WHERE if is_filtered else EVERYWHERE
    found = [name for name, classes in table.items() if issubclass(kind, classes)]
    return tuple(name for name in found if name != "functions" or not issubclass(kind, _NO_FUNCTIONS))


def _depth(node: Any) -> int:
    depth = 0
    while node is not None:
        node, depth = node.parent, depth + 1
    return depth


def row_limit(tree: exp.Expr) -> float:
    """The number in the outermost LIMIT or FETCH of a statement or of the query it writes; NaN: none, or no number."""
    query = tree if isinstance(tree, exp.Query) else tree.args.get("expression")
    limit = query.args.get("limit") if isinstance(query, exp.Query) else None
    value = limit.args.get("count" if isinstance(limit, exp.Fetch) else "expression") if limit else None
    try:
        return float(value.this) if isinstance(value, exp.Literal) else math.nan
    except ValueError:
        return math.nan


def _select(node: Any, counts: Counts, walk: Walk) -> None:
    args = node.args
    joins = args.get("joins") or ()
    start = args.get("from_")
    sources = [source.this for source in ((start, *joins) if start else joins)]
    names = [name for name in map(_name, sources) if name]
    counts["self_joins"] += len(names) - len(set(names))
    counts["most_joins"] = max(counts["most_joins"], len(joins))
    counts["select_distincts"] += args.get("distinct") is not None
    if names and not args.get("where"):
        walk.unfiltered.append(names)


def _name(source: Any) -> str | None:
    """A relation's full name in lower case, as Trino compares it; None for what has no name: a subquery, a function."""
    if source.__class__ is not exp.Table or source.this.__class__ is not exp.Identifier:
        return None
    args = source.args
    parts = [args[part].this for part in ("catalog", "db", "this") if args.get(part).__class__ is exp.Identifier]
    return ".".join(parts).lower()


def _table(node: Any, counts: Counts, walk: Walk) -> None:
    name = _name(node)
    if name:
        walk.tables.append(name)


def _cte(node: Any, counts: Counts, walk: Walk) -> None:
    walk.ctes.add(node.alias.lower())


def _join(node: Any, counts: Counts, walk: Walk) -> None:
    args = node.args
    counts["outer_joins"] += args.get("side") in ("LEFT", "RIGHT", "FULL")
    is_free = not (args.get("on") or args.get("using") or args.get("method"))
    counts["cross_joins"] += is_free and not isinstance(node.this, (exp.Unnest, exp.Lateral))


def _in(node: Any, counts: Counts, walk: Walk) -> None:
    counts["largest_in_list"] = max(counts["largest_in_list"], len(node.args.get("expressions") or ()))


def _like(node: Any, counts: Counts, walk: Walk) -> None:
    pattern = node.args.get("expression")
    counts["leading_wildcard_likes"] += isinstance(pattern, exp.Literal) and str(pattern.this)[:1] in ("%", "_")


def _group(node: Any, counts: Counts, walk: Walk) -> None:
    keys = sum(len(key.expressions) if isinstance(key, _GROUPINGS) else 1 for key in node.expressions)
    counts["most_group_keys"] = max(counts["most_group_keys"], keys)


def _window(node: Any, counts: Counts, walk: Walk) -> None:
    inner = node.this.this if isinstance(node.this, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)) else node.this
    counts["aggregates"] -= isinstance(inner, exp.AggFunc)
    counts["window_orders"] += node.args.get("order") is not None


def _distinct(node: Any, counts: Counts, walk: Walk) -> None:
    counts["distinct_aggregates"] += not isinstance(node.parent, exp.Select)


def _if(node: Any, counts: Counts, walk: Walk) -> None:
    # A WHEN of a CASE is one, too.
    counts["conditionals"] += not isinstance(node.parent, exp.Case)


def _is(node: Any, counts: Counts, walk: Walk) -> None:
    if isinstance(node.args.get("expression"), exp.Null):
        counts["null_literals"] -= 1
        counts["is_not_nulls" if isinstance(node.parent, exp.Not) else "is_nulls"] += 1


def _star(node: Any, counts: Counts, walk: Walk) -> None:
    counts["stars"] += isinstance(node.parent, (exp.Select, exp.Column))


def _order(node: Any, counts: Counts, walk: Walk) -> None:
    counts["order_bys"] += isinstance(node.parent, exp.Query)


def _union(node: Any, counts: Counts, walk: Walk) -> None:
    counts["unions" if node.args.get("distinct") else "union_alls"] += 1


LOOKS: dict[type, Callable[[Any, Counts, Walk], None]] = {
    exp.Select: _select, exp.Table: _table, exp.CTE: _cte, exp.Join: _join, exp.In: _in, exp.Like: _like,
    exp.ILike: _like, exp.Group: _group, exp.Window: _window, exp.Distinct: _distinct, exp.If: _if, exp.Is: _is,
    exp.Star: _star, exp.Order: _order, exp.Union: _union,
}  # fmt: skip

_OPENING = frozenset({exp.Select, exp.With, exp.Where})
_PLACED = _OPENING.union(*BELOW_WHERE.values())
# Of each class that is looked at: the look, whether its region matters, and what it counts for below a WHERE.
_WATCHED = {kind: (LOOKS.get(kind), kind in _PLACED, _names(kind, True)) for kind in _PLACED.union(LOOKS)}
