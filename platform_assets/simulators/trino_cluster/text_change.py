"""A planted covariate shift: from one day on a share of the queries is written another way, and nothing else of them changes.

It is what a release of a BI tool does to the texts that go through it: each becomes a dataset named by WITH, in double quotes and
behind the tool's comment, with a limit outside. Sender, time, what is asked and what it costs stay as they were drawn: what is
known of cost given what is asked holds on, the texts that it was learned from do not. What does not belong here: who sends what
(`traffic`), how fast templates come and go by themselves (the scenario's `drift`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

from platform_assets.simulators.trino_cluster.writing import Statement

LIMIT = 50_000
_QUERIES = ("select", "with")
_WHOLE = 2**64


@dataclass(frozen=True)
class TextChange:
    """Which texts are written another way, and how. The same text of the same day's log always is, or never."""

    first_day: int
    """In the calendar, 0 the first."""
    share: float
    """Of the queries that read tables."""
    seed: int

    def reaches(self, statement: Statement, day: int) -> bool:
        """Whether a statement of a day is among the changed ones: by its text alone, so that no draw of the log moves."""
        return day >= self.first_day and may_change(statement) and self._place(statement.text) < self.share

    def _place(self, text: str) -> float:
        """0 to 1, evenly over texts."""
        digest = blake2b(f"{self.seed} {text}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / _WHOLE


def may_change(statement: Statement) -> bool:
    """A query that reads tables and can be one's part: what is looked up, stored, explained or mistaken goes past the tool."""
    if statement.query_type != "SELECT" or statement.update_type or statement.family == "mistaken":
        return False
    words = _without_comments(statement.text).lower().split()
    return bool(words) and words[0] in _QUERIES and "from" in words


def rewritten(statement: Statement) -> Statement:
    """The statement as the tool sends it."""
    text = f"""/* virtual dataset, release 5 */
WITH "virtual_table" AS (
{statement.text}
)
SELECT "virtual_table".*
FROM "virtual_table"
LIMIT {LIMIT}"""
    return replace(statement, text=text)


def _without_comments(text: str) -> str:
    """Without what jobs and people put before their texts."""
    if text.startswith("/*"):
        return text.partition("*/")[2]
    return text.partition("\n")[2] if text.startswith("--") else text
