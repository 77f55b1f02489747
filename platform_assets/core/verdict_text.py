"""A verdict's document as tables: for a terminal or a README, and what is required for the page of an asset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Verdicts from before the thresholds named their cluster.
_UNNAMED = "household"


def comparison_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Markdown: each metric's means, difference, bounds and status; what is required; then the reasons, gravest first."""
    cluster = document["thresholds"].get("cluster", _UNNAMED)
    yield f"{document['rows']:,} rows, {document['clusters']:,} {cluster}s"
    yield "| metric | candidate | baseline | difference | bounds | margin | status |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for result in document["metrics"]:
        own, everywhere = result["bounds"], result["all_rows"]
        if everywhere is not None and (own is None or result["status"] == "anchored"):
            yield _line(result["metric"]["name"], everywhere, f"{result['status']}; shown on all rows")
        elif own is not None:
            yield _line(result["metric"]["name"], own, result["status"])
    yield from _requirement_lines(document.get("requirements", ()))
    for reason in document["reasons"][:8]:
        yield f"- {reason}"


def requirements_table(requirements: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: each requirement with its status, what was found, what is demanded, and why, as a sentence."""
    lines = ["| requirement | status | value, or its sure bound | limit | reason |", "|---|---|---:|---:|---|"]
    for each in requirements:
        found, limit = _found_and_limit(each)
        # A bar in a sentence would be a column's end.
        reason = str(each["reason"]).replace("|", "\\|")
        lines.append(f"| {each['name']} | {_status(each)} | {found} | {limit} | {reason} |")
    return "\n".join(lines)


def _requirement_lines(requirements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not requirements:
        return
    # A table of its own needs a line between.
    yield from ("", "| requirement | value, or its sure bound | limit | status |", "|---|---:|---:|---|")
    for each in requirements:
        found, limit = _found_and_limit(each)
        yield f"| {each['name']} | {found} | {limit} | {_status(each)} |"


def _found_and_limit(requirement: Mapping[str, Any]) -> tuple[str, str]:
    found, limit = ("" if requirement[name] is None else f"{requirement[name]:.4f}" for name in ("value", "limit"))
    return found, limit


def _status(requirement: Mapping[str, Any]) -> str:
    return requirement["status"] if requirement["blocks"] else f"{requirement['status']}; does not block"


def _line(name: str, bounds: Mapping[str, Any], status: str) -> str:
    between = "" if bounds["lower"] is None else f"{bounds['lower']:+.4f} .. {bounds['upper']:+.4f}"
    numbers = f"{bounds['candidate_mean']:.4f} | {bounds['baseline_mean']:.4f} | {bounds['estimate']:+.4f}"
    return f"| {name} | {numbers} | {between} | {bounds['margin']:.4f} | {status} |"
