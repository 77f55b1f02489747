"""What a data-quality check concludes, and the checks that any table can have.

An `Outcome` is plain data: `orchestration.checks` turns it into Dagster's check results, the lake keeps it in the manifest
(so that a gate can re-read it), and tests read it directly. Checks of one pipeline's meaning live in that pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

from platform_assets.core.engine import Engine


@dataclass(frozen=True)
class Outcome:
    """One check's conclusion. `warning` = it failed softly: shown, but never in anybody's way."""

    name: str
    passed: bool
    reason: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warning: bool = False

    def to_json(self) -> dict[str, Any]:
        """What the manifest keeps. A reason only for a failure: those of passed checks tell of the moment, and would make
        every re-run of unchanged rows look new."""
        return {"passed": self.passed, "warning": self.warning, "reason": "" if self.passed else self.reason}


def to_details(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """What a manifest records, so that a gate can re-read it: a blocking check blocks only inside its own run."""
    return {outcome.name: outcome.to_json() for outcome in outcomes}


def unique(engine: Engine, name: str, files: Sequence[Path], column: str) -> Outcome:
    """No value of `column` occurs twice."""
    sql = (
        f'SELECT "{column}" AS value, count(*) AS times FROM checked GROUP BY 1 HAVING count(*) > 1 ORDER BY 2 DESC, 1'
    )
    repeated = engine.rows(f"{sql} LIMIT 10", {"checked": files})
    reason = f"{column} repeats: {[row['value'] for row in repeated]}" if repeated else f"every {column} occurs once"
    return Outcome(name, not repeated, reason, {"examples": [str(row["value"]) for row in repeated]})


def not_null(engine: Engine, name: str, files: Sequence[Path], expressions: Sequence[str]) -> Outcome:
    """No row has a null in any of the (possibly dotted) expressions, which come from code, never from data."""
    counts = ", ".join(f'count(*) FILTER (WHERE {text} IS NULL) AS "{text}"' for text in expressions)
    nulls = engine.rows(f"SELECT {counts} FROM checked", {"checked": files})[0]
    bad = {text: count for text, count in nulls.items() if count}
    reason = f"nulls where none may be: {bad}" if bad else f"no null in {', '.join(expressions)}"
    return Outcome(name, not bad, reason, {f"nulls in {text}": count for text, count in nulls.items()})


def minimum_rows(name: str, rows: int, minimum: int) -> Outcome:
    """At least `minimum` rows."""
    return Outcome(name, rows >= minimum, f"{rows} rows, minimum {minimum}", {"rows": rows, "minimum": minimum})


def share_below(name: str, part: int, whole: int, limit: float, what: str, warning: bool = False) -> Outcome:
    """The share behind part / whole does not credibly exceed `limit`: a small day does not fail by two rows of bad luck."""
    share = part / whole if whole else 0.0
    surely = wilson_lower_bound(part, whole)
    reason = f"{what}: {part} of {whole} ({share:.2%}, surely above {surely:.2%}), limit {limit:.2%}"
    shares = {"share": round(share, 6), "share_surely_above": round(surely, 6), "limit": limit}
    metadata = {"rows_counted": part, "rows": whole, **shares}
    return Outcome(name, surely <= limit, reason, metadata, warning)


def wilson_lower_bound(part: int, whole: int, z: float = 2.326) -> float:
    """One-sided 99 % lower bound of a proportion (Wilson 1927); 0 for an empty whole."""
    if not whole:
        return 0.0
    share, spread = part / whole, z * z / whole
    middle, margin = share + spread / 2, z * sqrt(share * (1 - share) / whole + spread / (4 * whole))
    return max((middle - margin) / (1 + spread), 0.0)
