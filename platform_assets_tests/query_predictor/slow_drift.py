"""How far one number has moved, row by row and in exact sums where these decide: the oracle of the features' drift."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from fractions import Fraction
from math import log

Row = tuple[float, float, int]
"""Value, weight, days before the last."""


def slow_ends(rows: list[Row]) -> list[tuple[float, int]]:
    """(value, side): a cell ends at each weighed decile, and on both sides of a value that weighs more than a tenth."""
    held: Counter[float] = Counter()
    for value, weight, _ in rows:
        if value == value:
            held[value] += Fraction(weight)  # type: ignore[assignment]
    total = sum(held.values())
    ends = {(value, side) for value, weight in held.items() if weight * 10 > total for side in (0, 1)}
    for tenth in range(1, 10 if held else 0):
        ends.add((min(v for v in held if sum(held[w] for w in held if w <= v) * 10 >= tenth * total), 1))
    return sorted(ends)


def slow_shares(rows: list[Row], ends: list[tuple[float, int]]) -> list[float]:
    """By cell, the last is what is missing. Side 1 of a value is an end that it still lies before, side 0 one that it lies beyond."""
    cells = [0.0] * (len(ends) + 2)
    for value, weight, _ in rows:
        cells[bisect_left(ends, (value, 1)) if value == value else -1] += weight
    return [cell / sum(cells) for cell in cells]


def slow_rows(rows: list[Row]) -> float:
    return sum(weight for _, weight, _ in rows) ** 2 / sum(weight**2 for _, weight, _ in rows)


def slow_psi(before: list[Row], now: list[Row], ends: list[tuple[float, int]]) -> float:
    floor, total = max(1e-4, 0.5 / min(slow_rows(before), slow_rows(now))), 0.0
    for p, q in zip(slow_shares(before, ends), slow_shares(now, ends), strict=True):
        if p or q:
            p, q = max(p, floor), max(q, floor)
            total += (q - p) * log(q / p)
    return total


def slow_own(rows: list[Row], ends: list[tuple[float, int]]) -> float:
    newest, found = min(days for _, _, days in rows), [0.0]
    for week in range(9):
        inside = [row for row in rows if (row[2] - newest) // 7 == week]
        outside = [row for row in rows if (row[2] - newest) // 7 != week]
        if inside and outside:
            found.append(slow_psi(outside, inside, ends))
    return max(found)
