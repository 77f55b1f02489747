"""What people see of a published table in the Dagster UI: counts, schema, lineage, a sample, links and pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from platform_assets.core.lake import Publication

ColumnLineage = Mapping[str, Sequence[tuple[str, str]]]


def table_metadata(publication: Publication, table: Path, lineage: ColumnLineage | None = None) -> dict[str, Any]:
    """Standard metadata of one published table; `table` is its local Parquet file.

    `lineage` maps a column to (asset key, column) pairs.
    """
    from platform_assets.core.tables import column_schema, preview_markdown

    revision = publication.revision
    found: dict[str, Any] = {
        "dagster/row_count": revision.rows or 0,
        "dagster/uri": dg.MetadataValue.text(revision.uri),
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(name, kind, constraints=dg.TableColumnConstraints(nullable=nullable))
                for name, kind, nullable in column_schema(table)
            ]
        ),
        "digest": revision.digest,
        "changed": publication.digest_changed,
        "sample": dg.MetadataValue.md(preview_markdown(table)),
    }
    if lineage:
        found["dagster/column_lineage"] = column_lineage(lineage)
    return found


def files_metadata(publication: Publication) -> dict[str, Any]:
    """Standard metadata of published files that are no table: where they lie, their digest and sizes."""
    revision = publication.revision
    sizes = {file.name: f"{file.size:,} bytes" for file in revision.data_files}
    return {
        "dagster/uri": dg.MetadataValue.text(revision.uri),
        "digest": revision.digest,
        "changed": publication.digest_changed,
        "files": dg.MetadataValue.json(sizes),
    }


def column_lineage(lineage: ColumnLineage) -> dg.TableColumnLineage:
    """Dagster's form of column lineage."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(asset.split("/")), source) for asset, source in sources]
            for column, sources in lineage.items()
        }
    )


def image(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A PNG shown inline by the UI."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def counts_markdown(title: str, counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    """A small two-column table."""
    rows = [f"| {name} | {count:,} |" for name, count in sorted(counts.items())] or ["| none | 0 |"]
    return dg.MetadataValue.md("\n".join([f"| {title} | rows |", "|---|---:|", *rows]))
