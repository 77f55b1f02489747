"""The table of features for people: docs/query-predictor-features.md, which a test holds to the code.

python -m platform_assets.query_predictor.feature_table > docs/query-predictor-features.md
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby

from platform_assets.query_predictor.features import BASE_FEATURES, DEFINITIONS_VERSION, HISTORICAL_FEATURES, Feature

_HEAD = f"""# Features of the query predictor

One table that code, tests and this page share (`platform_assets/query_predictor/features.py`); written by
`python -m platform_assets.query_predictor.feature_table`. Missing is NaN. A text that is not parsed has what tokens tell, and NaN in
what only a syntax tree can tell. Behind these columns come the TF-IDF weights of the vocabulary's terms.

This is version {DEFINITIONS_VERSION} of the definitions. Weeks of features and models say theirs; those of another version are refused, with the remedy, and
an active model of another version gives way to the rule in replays until a newer one is active.
"""


def markdown() -> str:
    """The page."""
    base = _section(f"{len(BASE_FEATURES)} base features", BASE_FEATURES)
    history = _section(f"{len(HISTORICAL_FEATURES)} features of history", HISTORICAL_FEATURES)
    return "\n".join((_HEAD, base, history))


def _section(title: str, features: Sequence[Feature]) -> str:
    lines = [f"## {title}", ""]
    for group, members in groupby(features, lambda feature: feature.group):
        found = list(members)
        lines += [f"**{group.capitalize()}** ({len(found)})", "", "| name | unit | definition |", "|---|---|---|"]
        lines += [f"| `{each.name}` | {each.unit} | {each.definition} |" for each in found]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
