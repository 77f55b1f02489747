"""The documented keys of the pipeline: what each means, its default and its limits; read from YAML or from a mapping.

Dagster's config is the same table: `config_class(dg.Config)` makes the class of an asset's config, `from_mapping` reads what
Dagster then hands over. An unknown key is refused by its path. Keys of Spark, of checkpointing and of code packaging are
refused by name: partitions and the lake replace them. What does not belong here: what a deployment sets once and for all
(`core.settings`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from platform_assets.query_predictor.features import BASE_FEATURE_COUNT, HISTORICAL_FEATURE_COUNT

_PARTITIONS = "partitions and the lake replace it: "
REPLACED: dict[str, str] = {
    **dict.fromkeys(
        ("spark", "emr"),
        _PARTITIONS + "a day is loaded and a week is sampled by the embedded engine, within its memory limit",
    ),
    **dict.fromkeys(
        ("checkpointing", "checkpoint", "checkpoints"),
        _PARTITIONS + "every step is published per day or week, and a run goes on at the first one that is missing",
    ),
    **dict.fromkeys(
        ("code_packaging", "packaging", "code_package"),
        _PARTITIONS + "every revision records its code version, and the package is installed, not uploaded",
    ),
    **dict.fromkeys(("s3", "paths", "output"), _PARTITIONS + "set PLATFORM_LAKE_URL, once for all steps"),
}
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


class ConfigurationError(ValueError):
    """A key or a value that cannot be used; the message names its path and the remedy."""


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
        float, Meta(gt=0, le=1, description="Share of the queries of every split that is used at all: less is quicker.")
    ] = 1.0
    analysis: Annotated[Analysis, Meta(description="What is looked at beside.")] = field(default_factory=Analysis)


def from_mapping(content: Mapping[str, Any] | None) -> Configuration:
    """The configuration of nested keys; those left out take their defaults. Raises ConfigurationError."""
    _refuse_replaced(content or {})
    try:
        return msgspec.convert(dict(content or {}), Configuration)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_explained(str(error))) from None


def from_yaml(path: Path, defaults: Mapping[str, Mapping[str, Any]] | None = None) -> Configuration:
    """The configuration of a YAML file; `defaults` stand below what it says. Raises ConfigurationError with the file's name."""
    try:
        content = msgspec.yaml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, Mapping | None):
        raise ConfigurationError(f"{path} must hold keys and values, not {type(content).__name__}")
    try:
        return from_mapping(_above(defaults or {}, content or {}))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _above(defaults: Mapping[str, Mapping[str, Any]], content: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key of each section, `content` first. What is no section is left for its check to refuse."""
    found = {name: {**values} for name, values in defaults.items()}
    for name, values in content.items():
        found[name] = {**found[name], **values} if name in found and isinstance(values, Mapping) else values
    return found


def to_mapping(configuration: Configuration) -> dict[str, Any]:
    """Plain values under the documented keys, as they are stored with a model; `from_mapping` reads them."""
    return msgspec.json.decode(msgspec.json.encode(configuration))


def config_class(base: type) -> type[Any]:
    """A subclass of `base` (dagster's Config) with every key, its default and its description, nested as they are."""
    return _config_class(Configuration, base)


def _config_class(struct: type[Struct], base: type) -> type[Any]:
    import pydantic

    fields: dict[str, Any] = {}
    for item in msgspec.structs.fields(struct):
        kind, description = _kind(struct, item.name)
        if isinstance(kind, type) and issubclass(kind, Struct):
            nested = _config_class(kind, base)
            fields[item.name] = (nested, pydantic.Field(default=nested(), description=description))
        else:
            plain = msgspec.to_builtins(item.default)
            default = list(plain) if isinstance(plain, tuple) else plain
            fields[item.name] = (_plain(kind), pydantic.Field(default=default, description=description))
    return pydantic.create_model(f"{struct.__name__}Config", __base__=base, __doc__=struct.__doc__, **fields)


def _kind(struct: type[Struct], name: str) -> tuple[Any, str]:
    kind, *notes = get_args(get_type_hints(struct, include_extras=True)[name])
    return kind, next(note.description or "" for note in notes if isinstance(note, Meta))


def _plain(kind: Any) -> Any:
    """The type as Dagster's config knows it: no dates, no tuples, no literals."""
    if get_origin(kind) is tuple:
        return list[str]
    if get_origin(kind) is Literal:
        return str
    return str | None if type(None) in get_args(kind) else kind


def _refuse_replaced(content: Mapping[str, Any]) -> None:
    sections = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    places = [(name, name) for name in content]
    places += [(f"{section}.{name}", name) for section, inner in sections.items() for name in inner]
    for path, name in places:
        if str(name).lower() in REPLACED:
            raise ConfigurationError(f"{path} is not a key here; {REPLACED[str(name).lower()]}. Take it out")


def _explained(message: str) -> str:
    path = re.search(r" - at `\$\.?([^`]*)`", message)
    problem, place = re.sub(r" - at `.*", "", message), path[1] if path else ""
    if not (unknown := re.search(r"unknown field `(.*)`", problem)):
        return f"{place}: {problem}" if place else problem
    known = Configuration
    for name in filter(None, place.split(".")):
        known = _kind(known, name)[0]
    key = f"{place}.{unknown[1]}" if place else unknown[1]
    return f"{key} is no key; the keys there are {', '.join(item.name for item in msgspec.structs.fields(known))}"


def _check_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"curated_pattern is no regular expression: {error}") from None
    if re.search(r"\(\?<?[=!]|\\[1-9]", pattern or ""):
        raise ValueError("curated_pattern looks ahead, behind or back, which the engine cannot: write it without")
