"""The polars contestant of `benchmarks.enrichment`: the same bitemporal rule with join_asof, all in memory.

polars has no bitemporal join either, so versions that never win are dropped first, by the same argument as in
`platform_assets.core.transform.as_of_sql`; a join_asof on valid time alone would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

SOURCES = {
    "household": ("household_versions", ("size", "preferences", "dietary_restrictions", "region")),
    "constraints": ("household_constraint_versions", ("budget", "max_prep_time", "excluded")),
    "pantry": ("pantry_versions", ("items",)),
}
UNUSED = ("meals", "exclusion", "acceptance_recorded_at", "generation_recorded_at")


def join_as_of(folder: str, plans: str) -> Callable[[], int]:
    """Parquet to Parquet, with the columns that ours writes."""
    import polars as pl

    here = Path(folder)

    def work() -> int:
        frame = pl.read_parquet(here / f"{plans}.parquet").filter(pl.col("exclusion").is_null()).sort("generated_at")
        for name, (table, columns) in SOURCES.items():
            frame = frame.join_asof(
                _records(here / f"{table}.parquet", name, columns), left_on="generated_at", right_on="known_at",
                by_left="household_id", by_right="entity", check_sortedness=False,
            ).drop("known_at")  # fmt: skip
        _shape(frame).write_parquet(here / "polars.parquet", compression="zstd", compression_level=1)
        return frame.height

    return work


def _records(path: Path, name: str, columns: tuple[str, ...]) -> pl.DataFrame:
    """The versions greater than all that were known before, in the order of becoming known."""
    import polars as pl

    versions = pl.read_parquet(path).with_columns(known_at=pl.max_horizontal("valid_from", "recorded_at"))
    placed = versions.sort("entity", "valid_from", "recorded_at", "id").with_row_index("place")
    ordered = placed.sort("entity", "known_at", "place", descending=[False, False, True])
    records = ordered.filter(pl.col("place") == pl.col("place").cum_max().over("entity")).sort("known_at")
    return records.select(
        "entity", "known_at", pl.col("valid_from").alias(f"{name}_valid_from"),
        pl.col("recorded_at").alias(f"{name}_recorded_at"), *columns,
    )  # fmt: skip


def _shape(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    consumed = [column for _, columns in SOURCES.values() for column in columns]
    restrictions, excluded = pl.col("dietary_restrictions"), pl.col("excluded")
    return frame.select(
        pl.exclude(*consumed, *UNUSED),
        pl.struct(
            pl.col("household_id").alias("id"), "size", "preferences", restrictions.alias("restrictions"), "region"
        ).alias("household"),
        pl.struct("budget", "max_prep_time", excluded.alias("excluded_ingredients")).alias("constraints"),
        pl.struct("items").alias("pantry"),
        pl.col("recent_plans").list.first().alias("previous_plan"),
        pl.struct("meals").alias("accepted_plan"),
    )
