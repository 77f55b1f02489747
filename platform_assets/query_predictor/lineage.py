"""Column lineage of the query predictor's tables across its SQL files, in terms of assets and of Trino's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from platform_assets.core.lineage import Column, column_lineage
from platform_assets.query_predictor.labels import SQL
from platform_assets.query_predictor.query_rows import QUARANTINED, QUERIES, TYPED

RAW, QUERIES_ASSET, LABELLED_ASSET = "trino/queries", "query_predictor/queries", "query_predictor/labelled_queries"
# What is told from the text alone.
_TEXTS = ("textHash", "template", "category")
_LABELS = ("is_heavy", "heavy_reason", "boundary_distance", "template", "category")
_RULES = (
    "cpu_threshold", "memory_threshold", "heavy_errors", "censored_errors", "dropped_query_types", "keep_null_query_types",
    "is_curated", "curated_pattern",
)  # fmt: skip
_DRAW = ("salt", "sample_all", "fraction_threshold", "min_multiplier", "max_boost", "heavy_weight")


def queries_lineage() -> dict[str, list[Column]]:
    """query_predictor/queries, from the log under our names; a text's hash from the text."""
    inputs = {
        "typed_queries": TYPED.names,
        "refused_queries": QUARANTINED.names,
        "parameters": ("remedy", "text_limit"),
    }
    found = _lineage("queries", "queries", inputs, QUERIES.names)
    return {
        column: [(RAW, "query" if source == "textHash" else source) for _, source in pairs]
        for column, pairs in found.items()
    }


def labelled_lineage() -> dict[str, list[Column]]:
    """query_predictor/labelled_queries, from query_predictor/queries; what is told from a text, from the text."""
    inputs = {"queries": QUERIES.names, "texts": _TEXTS, "parameters": _RULES}
    found = _lineage("labelled_queries", "light_queries", inputs, (*QUERIES.names, *_LABELS))
    columns = {
        column: {"query" if table == "texts" else source for table, source in pairs if table != "parameters"}
        for column, pairs in found.items()
    }
    return {column: [(QUERIES_ASSET, source) for source in sorted(sources)] for column, sources in columns.items()}


def sample_lineage() -> dict[str, list[Column]]:
    """query_predictor/training_sample, from query_predictor/labelled_queries; probability and weight, from the distance."""
    kept = (*QUERIES.names, *_LABELS)
    inputs = {
        "light_queries": kept,
        "heavy_queries": kept,
        "inclusion": ("units", "threshold", "inclusion_probability", "weight"),
        "parameters": _DRAW,
    }
    found = _lineage("training_sample", "train", inputs, (*kept, "inclusion_probability", "weight"))
    sources = {
        column: {
            "boundary_distance" if table == "inclusion" else source for table, source in pairs if table != "parameters"
        }
        for column, pairs in found.items()
    }
    # The label is a literal in the SQL: the file that a row is read from says it.
    sources["is_heavy"] = {"is_heavy"}
    return {column: [(LABELLED_ASSET, source) for source in sorted(names)] for column, names in sources.items()}


def _lineage(
    name: str, table: str, inputs: Mapping[str, Sequence[str]], columns: Sequence[str]
) -> dict[str, list[Column]]:
    """As `column_lineage`, which knows names in lower case alone, in the case that the files have."""
    spelled = {column.lower(): column for column in (*columns, *(each for names in inputs.values() for each in names))}
    lower = {relation: tuple(each.lower() for each in names) for relation, names in inputs.items()}
    found = column_lineage(SQL / f"{name}.sql", table, lower)
    return {
        spelled[column]: [(relation, spelled[source]) for relation, source in pairs] for column, pairs in found.items()
    }
