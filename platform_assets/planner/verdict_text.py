"""A verdict's document as a table for a terminal or a README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def comparison_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Markdown: each metric's means, difference, bounds and status; then the reasons, gravest first."""
    yield f"{document['rows']:,} rows, {document['clusters']:,} households"
    yield "| metric | candidate | baseline | difference | bounds | margin | status |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for result in document["metrics"]:
        bounds = result["bounds"] if result["status"] != "anchored" else (result["all_rows"] or result["bounds"])
        if bounds is not None:
            yield _line(result["metric"]["name"], bounds, result["status"])
    for reason in document["reasons"][:8]:
        yield f"- {reason}"


def _line(name: str, bounds: Mapping[str, Any], status: str) -> str:
    between = "" if bounds["lower"] is None else f"{bounds['lower']:+.4f} .. {bounds['upper']:+.4f}"
    numbers = f"{bounds['candidate_mean']:.4f} | {bounds['baseline_mean']:.4f} | {bounds['estimate']:+.4f}"
    return f"| {name} | {numbers} | {between} | {bounds['margin']:.4f} | {status} |"
