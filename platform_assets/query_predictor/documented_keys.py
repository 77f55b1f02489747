"""The documented keys of the pipeline: what each means, its default and its limits.

One table for YAML files, for Dagster's config and for people. What does not belong here: how they are read (`configuration`), and
what a deployment sets once and for all (`core.settings`).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from platform_assets.query_predictor.features import BASE_FEATURE_COUNT, HISTORICAL_FEATURE_COUNT

HEAVY_ERRORS = (
    "EXCEEDED_TIME_LIMIT", "EXCEEDED_SCAN_LIMIT", "EXCEEDED_CPU_LIMIT", "EXCEEDED_LOCAL_MEMORY_LIMIT",
    "EXCEEDED_GLOBAL_MEMORY_LIMIT", "EXCEEDED_SPILL_LIMIT",
)  # fmt: skip
# Something other than the query ended it: what it would have cost is not known. The victim of CLUSTER_OUT_OF_MEMORY need not be
# who filled the cluster.
CENSORED_ERRORS = (
    "USER_CANCELED", "ABANDONED_QUERY", "ABANDONED_TASK", "ADMINISTRATIVELY_KILLED", "ADMINISTRATIVELY_PREEMPTED",
    "CLUSTER_OUT_OF_MEMORY", "SERVER_SHUTTING_DOWN",
)  # fmt: skip
DROPPED_QUERY_TYPES = ("DATA_DEFINITION", "DESCRIBE", "EXPLAIN")
_CODE = re.compile(r"[A-Z][A-Z0-9_]*")


class DataLoading(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which queries count, and which of them are heavy."""

    start_date: Annotated[
        date | None,
        Meta(
            description="First UTC day that a sample and its history may use; unset: as far back as their windows reach."
        ),
    ] = None
    end_date: Annotated[
        date | None,
        Meta(description="Last UTC day that a sample and its history may use; unset: up to the end of the window."),
    ] = None
    cpu_threshold_seconds: Annotated[
        float, Meta(gt=0, description="Heavy from this CPU time on (seconds, this one included).")
    ] = 300.0
    memory_threshold_gb: Annotated[float, Meta(gt=0, description="Heavy above this peak of user memory (GiB).")] = 10.0
    heavy_errors: Annotated[
        tuple[str, ...], Meta(description="Names of Trino errors of queries that ran into a limit: heavy at any cost.")
    ] = HEAVY_ERRORS
    censored_errors: Annotated[
        tuple[str, ...],
        Meta(description="Names of Trino errors that end a query from outside: below both thresholds it is left out."),
    ] = CENSORED_ERRORS
    dropped_query_types: Annotated[tuple[str, ...], Meta(description="Query types that are left out.")] = (
        DROPPED_QUERY_TYPES
    )
    keep_null_query_types: Annotated[
        bool, Meta(description="Keep queries without a query type: those that failed before Trino knew it.")
    ] = True
    curated_pattern: Annotated[
        str | None,
        Meta(
            description="Regular expression found in clientInfo of the queries that stay, as NON-CURATED; unset: all stay."
        ),
    ] = None

    def __post_init__(self) -> None:
        for name in ("heavy_errors", "censored_errors", "dropped_query_types"):
            for code in getattr(self, name):
                if not _CODE.fullmatch(code):
                    raise ValueError(f"{name} holds {code!r}: write names as Trino does, EXCEEDED_CPU_LIMIT")
        if both := set(self.heavy_errors) & set(self.censored_errors):
            raise ValueError(f"heavy_errors and censored_errors both hold {sorted(both)}: choose one of them")
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} is before start_date {self.start_date}")
        _check_pattern(self.curated_pattern)

    def holds(self, day: date) -> bool:
        """Whether a sample may use the queries of a day."""
        return (self.start_date or day) <= day <= (self.end_date or day)


class BoundarySampling(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which light queries of the train days are kept: rather those near a threshold."""

    balance_ratio: Annotated[float, Meta(gt=0, description="Light queries aimed at for each heavy one.")] = 5.0
    max_boost: Annotated[
        float, Meta(gt=0, description="Weight that falls off with the distance, as it would be at 0.")
    ] = 2.0
    min_multiplier: Annotated[float, Meta(gt=0, le=1, description="Weight at distance 1 and beyond.")] = 0.05
    weight_cap: Annotated[float, Meta(ge=1, description="Largest 1 / inclusion probability that a weight counts.")] = (
        100.0
    )
    seed: Annotated[int, Meta(ge=0, description="Another seed draws other queries.")] = 0

    def __post_init__(self) -> None:
        if self.max_boost < self.min_multiplier:
            raise ValueError(
                "max_boost is below min_multiplier: queries far from a threshold would be the likelier ones"
            )


class Features(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many features of which kind, and how far back history looks."""

    base_feature_count: Annotated[int, Meta(description="Base features; the table in features.py decides.")] = (
        BASE_FEATURE_COUNT
    )
    historical_feature_count: Annotated[
        int, Meta(description="Historical features; the table in features.py decides.")
    ] = HISTORICAL_FEATURE_COUNT
    tfidf_vocab_size: Annotated[
        int, Meta(ge=0, le=10_000, description="Terms of the vocabulary; usually 500 to 1000.")
    ] = 1000
    history_window_days: Annotated[
        int,
        Meta(
            ge=1,
            le=3_650,
            description="For how many days a query counts in the history of users, catalogs, schemas and templates once it is known of.",
        ),
    ] = 30

    def __post_init__(self) -> None:
        counts = {"base_feature_count": BASE_FEATURE_COUNT, "historical_feature_count": HISTORICAL_FEATURE_COUNT}
        for name, count in counts.items():
            if getattr(self, name) != count:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, and the table of features holds {count}: change the table"
                )


class Model(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model is trained, and what its mistakes cost."""

    algorithm: Annotated[Literal["xgboost"], Meta(description="The kind of model.")] = "xgboost"
    n_estimators: Annotated[int, Meta(ge=1, description="Most trees; early stopping may keep fewer.")] = 100
    cv_folds: Annotated[int, Meta(ge=2, description="Folds, stratified and grouped by template.")] = 5
    cost_fn: Annotated[float, Meta(gt=0, description="Cost of a heavy query that is routed as a light one.")] = 100.0
    cost_fp: Annotated[float, Meta(gt=0, description="Cost of a light query that is routed as a heavy one.")] = 1.0
    weight_loss: Annotated[
        bool, Meta(description="Use the sample's weights in the loss too, not in metrics and early stopping alone.")
    ] = False


class Analysis(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked at beside."""

    enabled: Annotated[bool, Meta(description="Draw the pictures of a training; off is faster.")] = True


class Configuration(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every key."""

    data_loading: Annotated[DataLoading, Meta(description="Which queries count, and which of them are heavy.")] = field(
        default_factory=DataLoading
    )
    boundary_sampling: Annotated[
        BoundarySampling, Meta(description="Which light queries of the train days are kept.")
    ] = field(default_factory=BoundarySampling)
    features: Annotated[
        Features, Meta(description="How many features of which kind, and how far back history looks.")
    ] = field(default_factory=Features)
    model: Annotated[Model, Meta(description="How the model is trained, and what its mistakes cost.")] = field(
        default_factory=Model
    )
    sample_fraction: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Share of the queries of every split that is used at all: less is quicker. Heavy queries that are no rows (those "
            "dropped for their type) count whole: recall is told rather too low.",
        ),
    ] = 1.0
    analysis: Annotated[Analysis, Meta(description="What is looked at beside.")] = field(default_factory=Analysis)


def _check_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"curated_pattern is no regular expression: {error}") from None
    if re.search(r"\(\?<?[=!]|\\[1-9]", pattern or ""):
        raise ValueError("curated_pattern looks ahead, behind or back, which the engine cannot: write it without")
