"""A verdict's document as a table for a terminal or a README."""

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


def _requirement_lines(requirements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not requirements:
        return
    # A table of its own needs a line between.
    yield from ("", "| requirement | judged by | demanded | status |", "|---|---:|---:|---|")
    for each in requirements:
        found, limit = ("" if each[name] is None else f"{each[name]:.4f}" for name in ("value", "limit"))
        status = each["status"] if each["blocks"] else f"{each['status']}; does not block"
        yield f"| {each['name']} | {found} | {limit} | {status} |"


def _line(name: str, bounds: Mapping[str, Any], status: str) -> str:
    between = "" if bounds["lower"] is None else f"{bounds['lower']:+.4f} .. {bounds['upper']:+.4f}"
    numbers = f"{bounds['candidate_mean']:.4f} | {bounds['baseline_mean']:.4f} | {bounds['estimate']:+.4f}"
    return f"| {name} | {numbers} | {between} | {bounds['margin']:.4f} | {status} |"
