"""What the query predictor's asset files share: keys, owners, the log's resource, Dagster config, revisions of upstream days.

Names only, and reading of manifests; anything with a meaning belongs to the domain modules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pydantic

from platform_assets.core.lake import Lake, Revision
from platform_assets.core.revision import Input
from platform_assets.core.settings import SettingError, Settings
from platform_assets.orchestration import checks, partitions, upstream
from platform_assets.orchestration.weekly_assets import address as address
from platform_assets.query_predictor import configuration
from platform_assets.query_predictor.configuration import ConfigurationError
from platform_assets.query_predictor.documented_keys import Configuration

if TYPE_CHECKING:
    from datetime import date

    from platform_assets.query_predictor.sources import Source

GROUP = "query_predictor"
OWNERS = ["team:ml-platform"]
QUERIES = dg.AssetKey(["query_predictor", "queries"])
QUARANTINED_QUERIES = dg.AssetKey(["query_predictor", "quarantined_queries"])
LABELLED_QUERIES = dg.AssetKey(["query_predictor", "labelled_queries"])
ZERO_COST_CATEGORIES = dg.AssetKey(["query_predictor", "zero_cost_categories"])
TRAINING_SAMPLE = dg.AssetKey(["query_predictor", "training_sample"])
FEATURES = dg.AssetKey(["query_predictor", "features"])
MODEL = dg.AssetKey(["query_predictor", "model"])
REPLAY_SCORES = dg.AssetKey(["query_predictor", "replay_scores"])
POLICY_VERSION = dg.AssetKey(["query_predictor", "policy_version"])
OPTIONS = "options"
_OPTIONS_DESCRIPTION = (
    "Any other option of `python -m platform_assets.query_predictor.training`, without its dashes, before the documented keys; "
    "switches are true or false."
)
# 30 train, 7 validation and 7 test days; a test holds it to `sampling.WINDOW_DAYS`, which is not loaded with definitions.
WINDOW_DAYS = 44


class TrinoSourceResource(dg.ConfigurableResource):
    """Trino's log: files of Parquet or JSON lines, or postgresql://user@host/database/table."""

    url: str | None = None

    def open(self) -> Source:
        """The adapter for the log."""
        from platform_assets.query_predictor.sources import open_source

        with source_errors():
            return open_source(self.url or Settings.from_environment().trino_source)


@contextmanager
def source_errors() -> Iterator[None]:
    """A source that a person must mend ends the step, whatever retries it may have."""
    from platform_assets.query_predictor.sources import SourceError

    try:
        yield
    except SourceError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def default_configuration(settings: Settings) -> Configuration:
    """The documented defaults; of the shipped log, its own thresholds; and above them what PLATFORM_TRINO_CONFIGURATION says.

    Raises SettingError for a file that cannot be used.
    """
    path = settings.trino_thresholds
    found = json.loads(path.read_text(encoding="utf-8")) if path else {}
    thresholds = {name: found[name] for name in ("cpu_threshold_seconds", "memory_threshold_gb") if name in found}
    defaults = {"data_loading": thresholds}
    if settings.trino_configuration is None:
        return configuration.from_mapping(defaults)
    try:
        return configuration.from_yaml(settings.trino_configuration, defaults)
    except ConfigurationError as error:
        raise SettingError(f"PLATFORM_TRINO_CONFIGURATION: {error}") from None


def config_schema(defaults: Configuration) -> Any:
    """The documented keys as an asset's Dagster config, with these defaults."""
    documented = configuration.config_class(dg.Config)
    return _with_defaults(documented, configuration.to_mapping(defaults)).to_config_schema()


def config_schema_with_options(defaults: Configuration) -> Any:
    """The same, and `options`: any others of a program's command line."""
    documented = _with_defaults(configuration.config_class(dg.Config), configuration.to_mapping(defaults))
    options: dict[str, Any] = {OPTIONS: (dict[str, str], pydantic.Field(default={}, description=_OPTIONS_DESCRIPTION))}
    return pydantic.create_model("ConfigurationAndOptions", __base__=documented, **options).to_config_schema()


def configured(context: dg.AssetExecutionContext) -> Configuration:
    """The configuration of the step. Raises dg.Failure naming the key that cannot be used."""
    try:
        documented = {name: value for name, value in given(context).items() if name != OPTIONS}
        return configuration.from_mapping(documented)
    except ConfigurationError as error:
        raise dg.Failure(
            f"the configuration of {context.asset_key.to_user_string()}: {error}", allow_retries=False
        ) from error


def given(context: dg.AssetExecutionContext) -> Mapping[str, Any]:
    """The step's Dagster config as it was given, defaults filled in."""
    return context.op_execution_context.op_config


def labelling_rules(configured: Configuration) -> dict[str, Any]:
    """What decides on a query's label and on whether it is dropped, as a labelled day's manifest holds it."""
    rules = configuration.to_mapping(configured)["data_loading"]
    return {name: value for name, value in rules.items() if name not in ("start_date", "end_date")}


class PublishedDays:
    """The days of an asset that are published, their manifests read once a run."""

    def __init__(self, lake: Lake, asset: dg.AssetKey, first: date) -> None:
        self.lake, self.first, self._asset = lake, first.isoformat(), asset
        self._known: dict[str, Revision | None] = {}

    def before(self, day: str, count: int, step: int = 1) -> dict[str, Revision]:
        """Of the `count` days before a day every `step`-th, counted from the day, that is published; newest first."""
        days = partitions.days_up_to(day, count, self.first)[:-1][-step::-step]
        for each in days:
            if each not in self._known:
                self._known[each] = self.lake.current(address(self._asset, each))
        return {each: revision for each in days if (revision := self._known[each]) is not None}

    def remember(self, day: str, revision: Revision) -> None:
        """What this run published."""
        self._known[day] = revision


def known_weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """The weeks that have all days of a sample up to their Sunday."""
    return partitions.trino_known_weekly(settings, WINDOW_DAYS)


def window_days(before: int = 0) -> dg.TimeWindowPartitionMapping:
    """The days that a week's sample is made of, and so many before them."""
    return partitions.days_up_to_week_end(WINDOW_DAYS + before)


def known_weeks_before(settings: Settings, week: str) -> list[str]:
    """The weeks of `known_weekly` before one, newest first."""
    return [key for key in reversed(known_weekly(settings).get_partition_keys()) if key < week]


def require(lake: Lake, asset: dg.AssetKey, partition: str, required: Sequence[checks.Check], purpose: str) -> Revision:
    """The current revision of one partition. Raises dg.Failure unless it is published and passed its blocking checks."""
    found = upstream.require(lake, [address(asset, partition)], purpose)[partition]
    checks.require_passed(asset, partition, found, required)
    return found


def require_made_of(made: Revision, inputs: Iterable[Input], purpose: str) -> None:
    """Raises dg.Failure where a revision was made of labelled days that are not among `inputs`."""
    known, labelled = set(inputs), LABELLED_QUERIES.to_user_string()
    others = [each.partition for each in made.lineage.inputs if each.asset == labelled and each not in known]
    if others:
        raise dg.Failure(
            f"{purpose}: {made.address.asset} of {made.address.partition} was made of other revisions of {labelled} of "
            f"{_listed(others)} than are read here. Materialise it again first, with the same configuration.",
            allow_retries=False,
        )


def require_labelled(
    lake: Lake, days: Iterable[date], required: Sequence[checks.Check], configured: Configuration, purpose: str
) -> dict[date, Revision]:
    """The labelled days that the configuration's dates allow, in order.

    Raises dg.Failure unless all are published, passed their blocking checks, were labelled by the rules of this configuration,
    and of the queries that are current.
    """
    held = {day.isoformat(): day for day in days if configured.data_loading.holds(day)}
    if not held:
        raise dg.Failure(f"{purpose}: start_date and end_date leave none of its days; widen them", allow_retries=False)
    found = upstream.require(lake, (address(LABELLED_QUERIES, key) for key in held), purpose)
    for key, revision in found.items():
        checks.require_passed(LABELLED_QUERIES, key, revision, required)
    _require_rules(found, labelling_rules(configured), purpose)
    _require_current(found, upstream.require(lake, (address(QUERIES, key) for key in held), purpose), purpose)
    return {held[key]: revision for key, revision in found.items()}


def _require_rules(days: Mapping[str, Revision], rules: Mapping[str, Any], purpose: str) -> None:
    others = {day: revision.lineage.details["rules"] for day, revision in days.items()}
    if others := {day: found for day, found in others.items() if found != rules}:
        first = next(iter(others.values()))
        told = ", ".join(
            f"{name} {first.get(name)!r} instead of {value!r}"
            for name, value in rules.items()
            if first.get(name) != value
        )
        raise dg.Failure(
            f"{purpose}: {LABELLED_QUERIES.to_user_string()} of {_listed(others)} was labelled by other rules ({told}). Label those "
            "days again with this configuration, or give this run the configuration that they have.",
            allow_retries=False,
        )


def _require_current(labelled: Mapping[str, Revision], queries: Mapping[str, Revision], purpose: str) -> None:
    old = [day for day, found in labelled.items() if queries[day].as_input() not in found.lineage.inputs]
    if old:
        raise dg.Failure(
            f"{purpose}: {LABELLED_QUERIES.to_user_string()} of {_listed(old)} was made of other queries than are current. "
            "Materialise it again first.",
            allow_retries=False,
        )


def _listed(days: Iterable[str], shown: int = 5) -> str:
    days = list(days)
    more = f" and {len(days) - shown} more days" if len(days) > shown else ""
    return ", ".join(days[:shown]) + more


def _with_defaults(kind: type[Any], values: Mapping[str, Any]) -> type[Any]:
    fields: dict[str, Any] = {}
    for name, known in kind.model_fields.items():
        annotation, value = known.annotation, values[name]
        if isinstance(value, Mapping):
            annotation = _with_defaults(annotation, value)
            value = annotation()
        fields[name] = (annotation, pydantic.Field(default=value, description=known.description))
    return pydantic.create_model(kind.__name__, __base__=dg.Config, __doc__=kind.__doc__, **fields)


def fetch_days(lake: Lake, days: Mapping[date, Revision], name: str, scratch: Path) -> dict[date, Path]:
    """Day -> local path of one file of its revision."""
    return {day: lake.fetch(revision, name, scratch) for day, revision in days.items()}
