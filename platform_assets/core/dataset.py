"""The dataset folder people know: training.parquet, schema.json, dataset_summary.md, at datasets/<model>/<date>.

The date is the END of the window. Programs resolve a dataset through its manifest; the three files at the folder's top are
copies for people. What a row means belongs to the pipeline that builds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core.lake import Address

TRAINING = "training.parquet"
SCHEMA = "schema.json"
SUMMARY = "dataset_summary.md"
PROFILE = "profile.json"


def dataset_address(asset: str, partition: str, model: str, date: str) -> Address:
    """Where a model's dataset of a date lives; it belongs to a partition of an asset like everything in the lake."""
    return Address(asset, partition, f"datasets/{model}/{date}")


def schema_document(path: Path, version: int) -> dict[str, Any]:
    """schema.json: the documented `fields` tree of a Parquet file, with the version of the row's shape."""
    import pyarrow.parquet as pq

    return {"schema_version": version, "fields": [_field(field) for field in pq.read_schema(path)]}


def schema_bytes(document: Mapping[str, Any]) -> bytes:
    """schema.json as written."""
    return (json.dumps(document, indent=2) + "\n").encode()


def count_leaves(fields: Sequence[Mapping[str, Any]]) -> int:
    """Number of scalar fields below a list of fields: what the summary calls "fields"."""
    return sum(count_leaves(field["fields"]) if "fields" in field else 1 for field in fields)


@dataclass(frozen=True)
class Summary:
    """What dataset_summary.md says."""

    name: str
    rows: int
    fields: int
    task: str
    targets: str
    households: int
    first_day: str
    last_day: str
    shares: Mapping[str, Mapping[str, int]]
    policy_versions: Sequence[str]
    exclusions: Mapping[str, int]
    quarantined: Mapping[str, int]
    not_point_in_time: Sequence[str]
    digest: str = ""

    def to_markdown(self) -> str:
        """The Markdown file."""
        coverage = [f"- Households: {self.households:,}", f"- Date range: {self.first_day} to {self.last_day}"]
        coverage += [f"- {title}: {_shares(counts)}" for title, counts in self.shares.items()]
        notes = [f"- Policy versions: {', '.join(self.policy_versions) or 'none'}"]
        notes += ["- Accepted plans left out: " + _counts(self.exclusions)]
        notes += ["- Events quarantined in these days: " + _counts(self.quarantined)]
        honest = ", ".join(self.not_point_in_time)
        notes += [
            f"- NOT point-in-time (today's rows, no history kept): {honest}"
            if honest
            else "- Every source is point-in-time"
        ]
        head = [
            f"**Rows**: {self.rows:,}",
            f"**Fields**: {self.fields}",
            f"**Task**: {self.task}",
            f"**Targets**: {self.targets}",
        ]
        return "\n".join(
            [f"# Dataset: {self.name}", "", "  \n".join(head), "", "## Coverage", *coverage, "", "## Notes", *notes, ""]
        )


def _field(field: Any) -> dict[str, Any]:
    import pyarrow as pa

    described: dict[str, Any] = {"name": field.name, "type": _type_name(field.type), "nullable": field.nullable}
    inner = field.type
    while pa.types.is_list(inner) or pa.types.is_large_list(inner):
        inner = inner.value_type
    if pa.types.is_struct(inner):
        described["fields"] = [_field(child) for child in inner]
    return described


def _type_name(kind: Any) -> str:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"array<{_type_name(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return "struct"
    return "timestamp" if pa.types.is_timestamp(kind) else str(kind)


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values()) or 1
    return ", ".join(f"{name} ({count / total:.0%})" for name, count in counts.items()) or "none"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "none"
