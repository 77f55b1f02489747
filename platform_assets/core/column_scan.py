"""Reads columns of Parquet files into column profiles, in SQL; what is kept of a column is `core.column_profile`.

Exact, not sketched. Each leaf column is read once and grouped by value with its count; everything kept comes from those
groups. The groups live under the engine's memory limit and spill to disk, so that memory is bounded and the disk pays for
a column of many distinct values. DuckDB's sketches (`approx_count_distinct`, `approx_quantile`, `approx_top_k`) would save
that disk, but the last two change with the thread count, and a profile must not.

Neither do floating-point sums depend on the order of rows here: `math.fsum` rounds once, after the last term.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import md5
from math import frexp, fsum, ldexp, sqrt
from typing import TYPE_CHECKING, Any

from platform_assets.core.column_profile import STEPS, TOP_K, ColumnProfile, Distribution, Kind, TopValues

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 100_000
LABEL_CHARACTERS = 200
# Numbers with at most so many distinct values are also counted value by value: servings, flags, weekdays.
FEW_NUMBERS = TOP_K
_INSTANTS = ("timestamp", "date")
_SPANS = ("time", "interval")


@dataclass(frozen=True)
class Leaf:
    """A column without inner structure: its dotted name, and the SQL that yields its values."""

    name: str
    kind: Kind
    expression: str
    source: str


def leaves(connection: duckdb.DuckDBPyConnection, relation: str) -> list[Leaf]:
    """Every leaf of a relation, in the schema's order.

    `a.b` is a field of a struct; `a.length` the length of a list or map; `a[]` its items, `a[].b` a field of its items
    (a map's items have `key` and `value`). A leaf below a null struct is null; items of a null list do not exist.
    """
    found = connection.view(relation)
    pairs = zip(found.columns, found.types, strict=True)
    return [leaf for name, kind in pairs for leaf in _flatten(name, _quoted(name), kind, relation)]


def scan(connection: duckdb.DuckDBPyConnection, leaf: Leaf) -> ColumnProfile:
    """The profile of one leaf; leaves nothing behind but a temporary table of fixed name."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE grouped AS SELECT value, count(*) AS n "
        f"FROM (SELECT {leaf.expression} AS value FROM {leaf.source}) GROUP BY value"
    )
    rows, nulls, distinct = _row(
        connection, "coalesce(sum(n), 0)::BIGINT, coalesce(sum(n) FILTER (value IS NULL), 0)::BIGINT, count(value)"
    )
    profile = ColumnProfile(leaf.kind, rows, nulls, distinct, distinct)
    return _scan_numbers(connection, profile) if leaf.kind in ("number", "time") else _scan_text(connection, profile)


def _flatten(name: str, expression: str, kind: Any, source: str) -> Iterator[Leaf]:
    if kind.id == "map":
        expression = f"map_entries({expression})"
    if kind.id == "struct":
        for field, inner in kind.children:
            yield from _flatten(f"{name}.{field}", f"struct_extract({expression}, {_literal(field)})", inner, source)
    elif kind.id in ("list", "array", "map"):
        yield Leaf(f"{name}.length", "number", f"len({expression})::DOUBLE", source)
        items = f"(SELECT unnest({expression}) AS item FROM {source})"
        inner = kind.children if kind.id == "map" else [("", kind.children[0][1])]
        for field, each in inner:
            item = f"struct_extract(item, {_literal(field)})" if field else "item"
            yield from _flatten(f"{name}[].{field}" if field else f"{name}[]", item, each, items)
    else:
        yield _scalar(name, expression, str(kind.id), source)


def _scalar(name: str, expression: str, kind: str, source: str) -> Leaf:
    if kind == "boolean":
        return Leaf(name, "boolean", f"CAST({expression} AS VARCHAR)", source)
    if kind.startswith(_INSTANTS):
        return Leaf(name, "time", f"epoch_us({expression}) / 1e6", source)
    if kind in _SPANS:
        return Leaf(name, "number", f"epoch_us({expression}) / 1e6", source)
    if kind.endswith("int") or kind in ("integer", "uinteger", "float", "double", "decimal"):
        # + 0.0 makes minus zero zero: they are one value, and one of them would stand for both by chance.
        return Leaf(name, "number", f"CAST({expression} AS DOUBLE) + 0.0", source)
    return Leaf(name, "text", f"CAST({expression} AS VARCHAR)", source)


def _scan_text(connection: duckdb.DuckDBPyConnection, profile: ColumnProfile) -> ColumnProfile:
    best = connection.execute(
        f"SELECT value, n FROM grouped WHERE value IS NOT NULL ORDER BY n DESC, value LIMIT {TOP_K}"
    ).fetchall()
    values = tuple((_label(value), count) for value, count in best)
    other = profile.values - sum(count for _, count in values)
    return replace(profile, top=TopValues(values, other, unlisted=values[-1][1] if other else 0))


def _scan_numbers(connection: duckdb.DuckDBPyConnection, profile: ColumnProfile) -> ColumnProfile:
    nans, below, above, finite, distinct, low, high = _row(
        connection,
        "coalesce(sum(n) FILTER (isnan(value)), 0)::BIGINT, coalesce(sum(n) FILTER (value = '-inf'), 0)::BIGINT, "
        "coalesce(sum(n) FILTER (value = 'inf'), 0)::BIGINT, coalesce(sum(n) FILTER (isfinite(value)), 0)::BIGINT, "
        "count(*) FILTER (isfinite(value)), "
        "min(value) FILTER (isfinite(value)), max(value) FILTER (isfinite(value))",
    )
    few = profile.kind == "number" and distinct <= FEW_NUMBERS and not below and not above
    top = _few_numbers(connection) if few else None
    known = profile.distinct - (nans > 0)
    profile = replace(profile, nans=nans, distinct=known, distinct_upper=known, top=top)
    if not finite:
        return replace(profile, distribution=Distribution((), (), (), float(below), float(above)))
    mean, std = _moments(connection, finite, low, high)
    edges = _distribution(connection, finite, distinct, (low, high))
    as_text = _iso if profile.kind == "time" else float
    return replace(
        profile,
        minimum=as_text(low),
        maximum=as_text(high),
        mean=mean,
        std=std,
        distribution=replace(edges, below=float(below), above=float(above)),
    )


def _moments(connection: duckdb.DuckDBPyConnection, rows: int, low: float, high: float) -> tuple[float, float]:
    """Mean and population standard deviation of the finite values: two passes over the groups, no shortcut formula."""
    import numpy as np

    # By a power of two, which is exact, to below 1: squares and sums of any column then stay in range.
    exponent = frexp(max(abs(low), abs(high)))[1]
    mean = fsum(x for values, n in _groups(connection) for x in (np.ldexp(values, -exponent) * n).tolist()) / rows
    # The rounded mean of equal values must be that value, or a constant column would have a spread.
    mean = min(max(mean, ldexp(low, -exponent)), ldexp(high, -exponent))
    squares = (((np.ldexp(values, -exponent) - mean) ** 2 * n).tolist() for values, n in _groups(connection))
    variance = fsum(x for batch in squares for x in batch) / rows
    return ldexp(mean, exponent), ldexp(sqrt(variance), exponent)


def _distribution(
    connection: duckdb.DuckDBPyConnection, rows: int, distinct: int, ends: tuple[float, float]
) -> Distribution:
    """Every value as an edge where there are few, else minimum, maximum and the values at STEPS quantiles."""
    import numpy as np

    every = distinct <= STEPS + 1
    ranks = np.array([1, *(-(-rows * step // STEPS) for step in range(1, STEPS + 1))], dtype=np.int64)
    edges: list[float] = []
    at: list[float] = []
    through: list[float] = []
    seen = 0
    for values, n in _groups(connection, "ORDER BY value"):
        reached = seen + np.cumsum(n)
        wanted = ranks[(ranks > seen) & (ranks <= reached[-1])]
        kept = np.arange(len(values)) if every else np.unique(np.searchsorted(reached, wanted))
        edges += values[kept].tolist()
        at += n[kept].astype(float).tolist()
        through += reached[kept].astype(float).tolist()
        seen = int(reached[-1])
    between = (right - equal - left for left, right, equal in zip(through, through[1:], at[1:], strict=False))
    return Distribution(tuple(edges), tuple(at), tuple(between))


def _few_numbers(connection: duckdb.DuckDBPyConnection) -> TopValues:
    found = connection.execute("SELECT value, n FROM grouped WHERE isfinite(value) ORDER BY n DESC, value").fetchall()
    return TopValues(tuple((repr(value).removesuffix(".0"), count) for value, count in found))


def _groups(connection: duckdb.DuckDBPyConnection, order: str = "") -> Iterator[tuple[Any, Any]]:
    """Batches of (finite values float64, counts int64)."""
    query = connection.execute(f"SELECT value, n FROM grouped WHERE isfinite(value) {order}")
    for batch in query.to_arrow_reader(BATCH_ROWS):
        if batch.num_rows:
            yield batch.column(0).to_numpy(zero_copy_only=False), batch.column(1).to_numpy(zero_copy_only=False)


def _row(connection: duckdb.DuckDBPyConnection, aggregates: str) -> tuple[Any, ...]:
    row = connection.execute(f"SELECT {aggregates} FROM grouped").fetchone()
    assert row is not None  # an aggregate without GROUP BY always has one row
    return row


def _label(value: str) -> str:
    """The value, or its beginning with a marker that keeps values of a common beginning apart."""
    if len(value) <= LABEL_CHARACTERS:
        return value
    return f"{value[:LABEL_CHARACTERS]}… [{len(value)} characters, md5 {md5(value.encode()).hexdigest()[:8]}]"


def _iso(seconds: float) -> str:
    import numpy as np

    return f"{np.datetime64(round(seconds * 1e6), 'us')}Z"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
