"""What the rows of a replay say together: each policy end to end, by seen and unseen template, by day, and beside an online router.

The headline is the least routed share at recall .98, certified and as observed, on these very rows, for the candidate and for those
that rank without it; the frozen threshold's own share and recall stand beside. What does not belong here: rows
(`replay_tables`), the verdict (`judgement`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import evaluation, judgement
from platform_assets.query_predictor.judgement import BASELINE, CANDIDATE, FINGERPRINT, RULE, Columns
from platform_assets.query_predictor.replay_rows import HEAVY
from platform_assets.query_predictor.replay_tables import SEEN, UNSEEN
from platform_assets.query_predictor.requirements import RECALL, heavy_needed

SIDES = (CANDIDATE, BASELINE)
RANKINGS = (CANDIDATE, FINGERPRINT, RULE)
CERTIFIED = "routed_share_at_certified_recall"
HEADLINE = (CERTIFIED, "routed_share_at_observed_recall")


def summary_of(columns: Columns) -> dict[str, Any]:
    """As JSON values; `tables` are those that grow with the days."""
    created = judgement.column(columns, "created").astype("datetime64[D]")
    heavy = judgement.column(columns, "is_heavy").astype(bool)
    rankings = {name: judgement.ranking_of(columns, name, CANDIDATE) for name in RANKINGS}
    return {
        "rows": len(heavy),
        "heavy": int(heavy.sum()),
        "templates": len(np.unique(columns["cluster"].astype(str))),
        "days": [str(created.min()), str(created.max())],
        **{side: _of_side(columns, side) for side in SIDES},
        "rankings": rankings,
        "headline": {name: {who: told[name] for who, told in rankings.items()} for name in HEADLINE},
        "online": online(columns),
        "tables": {"day": by_day(columns, created)},
    }


def by_day(columns: Columns, created: NDArray[np.datetime64]) -> dict[str, dict[str, Any]]:
    """Day -> rows, heavy ones, and of each side the routed share and the recall; None where no query was heavy."""
    found = {}
    for day in np.unique(created):
        chosen = created == day
        told = {side: _routed(columns, side, chosen) for side in SIDES}
        rows, heavy = int(chosen.sum()), told[CANDIDATE].heavy
        shares = {f"{side}_routed_share": each.share for side, each in told.items()}
        recalls = {f"{side}_recall": each.recall for side, each in told.items()}
        found[str(day)] = {"rows": rows, "heavy": heavy, **shares, **recalls}
    return found


def online(columns: Columns) -> dict[str, Any]:
    """The router that ran at the time, on the rows where it left its decision, beside both sides on the same rows; nothing where
    it left none."""
    decisions = judgement.column(columns, "online_route")
    known = np.array([each is not None for each in decisions], bool)
    if not known.any():
        return {}
    sent, heavy = decisions[known] == HEAVY, columns["is_heavy"][known].astype(bool)
    routed = {side: judgement.column(columns, f"{side}_routed")[known].astype(bool) for side in SIDES}
    return {
        "rows": int(known.sum()),
        "heavy": int(heavy.sum()),
        "online": _decisions(sent, heavy),
        **{
            side: {**_decisions(each, heavy), "agreement": float((each == sent).mean())}
            for side, each in routed.items()
        },
    }


def table(summary: Mapping[str, Any]) -> str:
    """Text: what is asked first."""
    lines = [f"{summary['rows']:,} queries, {summary['heavy']:,} heavy, {summary['days'][0]} to {summary['days'][1]}"]
    for side in SIDES:
        told = summary[side]
        lines.append(
            f"{side} ({told['policy']}): recall {_share(told['recall'])}, routed {_share(told['routed_share'])}, cost "
            f"{told['cost']:.4f} a query, requirements {told['requirements']['outcome']}"
        )
    for side, told in summary["history"].items():
        lines.append(
            f"{side}'s history: of {told['snapshot']}, {told['mean_days']:.1f} days old on average, {told['max_days']} at most"
        )
    for name, shares in summary["headline"].items():
        if name == CERTIFIED and summary[CANDIDATE]["heavy"] < heavy_needed(0):
            told = f"too few heavy queries to be certain of {RECALL}, it takes {heavy_needed(0)} or more"
        else:
            told = ", ".join(f"{who} {_share(share)}" for who, share in shares.items())
        lines.append(f"{name}: {told}")
    return "\n".join(lines)


def _of_side(columns: Columns, side: str) -> dict[str, Any]:
    """End to end, what is required of it, and both kinds of template."""
    kinds = judgement.column(columns, "slice_template").astype(str)
    return {
        **_numbers(columns, side, np.ones(len(kinds), bool)),
        "cost": float(judgement.number(columns, side, judgement.COST).mean()),
        "dropped_heavy": judgement.queries_of(columns, side).dropped_heavy,
        "requirements": judgement.requirements_of(columns, side).document(),
        "by_template": {kind: _numbers(columns, side, kinds == kind) for kind in (SEEN, UNSEEN)},
    }


def _numbers(columns: Columns, side: str, chosen: NDArray[np.bool_]) -> evaluation.Numbers:
    queries = judgement.queries_of(columns, side)
    # What lies beside the rows belongs to all of them, and to no part.
    part = queries if chosen.all() else queries.part(chosen)
    routed = part.routed(judgement.column(columns, f"{side}_routed")[chosen].astype(bool))
    scores = judgement.number(columns, side, "score")[chosen]
    return {**evaluation.of_routing(routed), **evaluation.of_ranking(part, scores)}


def _routed(columns: Columns, side: str, chosen: NDArray[np.bool_]) -> Any:
    routes = judgement.column(columns, f"{side}_routed")[chosen].astype(bool)
    return judgement.queries_of(columns, side).part(chosen).routed(routes)


def _decisions(sent: NDArray[np.bool_], heavy: NDArray[np.bool_]) -> dict[str, float | None]:
    recall = float(sent[heavy].mean()) if heavy.any() else None
    return {"recall": recall, "routed_share": float(sent.mean())}


def _share(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
