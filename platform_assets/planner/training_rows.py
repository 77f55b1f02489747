"""Training examples from weekly datasets: what the model is asked, and the recipes that the household then ate.

Every row is either an example or counted with the reason why not. What does not belong here: tokens (`planner.fine_tuning`),
building datasets (`planner.weekly`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from platform_assets.core import dataset, folders
from platform_assets.planner.catalogue import Catalogue
from platform_assets.planner.plan_documents import read_context, read_plan
from platform_assets.planner.plans import IncompleteContext, PlanError, admissible, most_meals
from platform_assets.planner.prompt import PromptFormat, render, shown_candidates
from platform_assets.planner.weekly import SCHEMA_VERSION

ROWS_FILE = "training_rows.parquet"
TRAIN, VALIDATION = "train", "validation"
INFEASIBLE, INCOMPLETE = "infeasible", "incomplete"
OUTSIDE, TRUNCATED = "target_outside_candidates", "truncated"
_COLUMNS = ("input", "target", "metadata")
_BATCH_ROWS = 1_000


class TrainingRowsError(ValueError):
    """Datasets that cannot be trained on; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One weekly dataset: its file, and the digest of its rows that pins it."""

    path: Path
    name: str
    digest: str
    rows: int
    uri: str
    """Where it lies: the folder or file that was named."""


@dataclass(frozen=True, slots=True)
class Example:
    """One accepted plan: the prompt's text, and the accepted recipes, each once, that were candidates."""

    plan_id: str
    household_id: str
    split: str
    prompt: str
    recipe_ids: tuple[str, ...]
    accepted_at: datetime


@dataclass(frozen=True)
class TrainingRows:
    """The examples, and what became of all rows."""

    examples: tuple[Example, ...]
    rows: int
    dropped: Mapping[str, int]
    """Rows by reason: incomplete (nobody knew what the household excludes), infeasible (no admissible recipe fits the budget), target_outside_candidates (no recipe is left)."""
    recipes_outside_candidates: int
    """Accepted recipes that were not admissible when the plan was made; taken out of the targets of rows that stay."""

    def of(self, split: str) -> list[Example]:
        """The examples of one side."""
        return [example for example in self.examples if example.split == split]


def read_dataset(path: Path) -> Dataset:
    """A dataset folder, resolved through its manifest where it has one, or a training.parquet.

    Raises TrainingRowsError when it is not a dataset of the schema version that this code reads, or was changed since it
    was published.
    """
    from platform_assets.core.digest import digest_table

    manifest, file = folders.local_manifest(path), folders.local_file(path, dataset.TRAINING)
    if not file.is_file():
        raise TrainingRowsError(
            f"{path} holds no {dataset.TRAINING}; name a folder datasets/planner/<date> or its file"
        )
    _require_schema(file, folders.local_file(path, dataset.SCHEMA) if path.is_dir() else file.with_name(dataset.SCHEMA))
    found = digest_table([file])
    if found.algorithm == manifest.get("algorithm") and found.digest != manifest["digest"]:
        raise TrainingRowsError(f"{file} is not what its manifest says: build that week again")
    whole = path.absolute()
    return Dataset(file, (whole if path.is_dir() else whole.parent).name, found.digest, found.rows, str(whole))


def read_examples(datasets: Sequence[Dataset], catalogue: Catalogue, form: PromptFormat) -> TrainingRows:
    """All rows as examples, in the datasets' order; raises TrainingRowsError when none is left to train on."""
    examples, dropped, rows, outside = [], Counter({INFEASIBLE: 0, OUTSIDE: 0}), 0, 0
    seen: dict[str, str] = {}
    for source in datasets:
        for row in _rows(source):
            rows += 1
            plan_id = str(row["metadata"]["plan_id"])
            if plan_id in seen:
                raise TrainingRowsError(
                    f"plan {plan_id} is in {seen[plan_id]} and in {source.name}: name every dataset once"
                )
            seen[plan_id] = source.name
            found, left_out = _example(row, catalogue, form)
            outside += left_out
            if isinstance(found, Example):
                examples.append(found)
            else:
                dropped[found] += 1
    result = TrainingRows(tuple(examples), rows, dict(dropped), outside)
    require_training_rows(len(result.of(TRAIN)), rows, result.dropped)
    return result


def require_training_rows(left: int, rows: int, dropped: Mapping[str, int]) -> None:
    """Raises TrainingRowsError, with where the rows went, when none is left."""
    if left:
        return
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items()) if count) or "none"
    raise TrainingRowsError(
        f"no row is left to train on, of {rows} in the datasets (dropped: {reasons}; the rest are validation rows): name "
        "more or other weeks, check that recipes.parquet is of the same application, or raise max_length"
    )


def write_rows(examples: Iterable[Example], target: Path) -> None:
    """Write plan_id, household_id, split and time of every row that was used: replay refuses to judge on them, or on older ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = sorted(examples, key=lambda example: example.plan_id)
    names = [(name, pa.string()) for name in ("plan_id", "household_id", "split")]
    schema = pa.schema([*names, ("accepted_at", pa.timestamp("us", tz="UTC"))])
    columns = {name: [getattr(each, name) for each in ordered] for name in schema.names}
    pq.write_table(pa.table(columns, schema=schema), target)


def _example(row: Mapping[str, Any], catalogue: Catalogue, form: PromptFormat) -> tuple[Example | str, int]:
    """The example or the reason why there is none, and how many accepted recipes were not candidates."""
    facts = row["metadata"]
    try:
        context, accepted = read_context(row["input"]), read_plan(row["target"]["accepted_plan"])
    except IncompleteContext:
        return INCOMPLETE, 0
    except (PlanError, TypeError) as error:
        raise TrainingRowsError(f"plan {facts['plan_id']} cannot be read: {error}; build its week again") from error
    candidates = admissible(context, catalogue.as_of(facts["timestamp"]).values())
    if not most_meals(candidates, context):
        return INFEASIBLE, 0
    known = {recipe.id for recipe in candidates}
    # Each once: decoding never repeats a recipe, and must not be taught to.
    targets = tuple(dict.fromkeys(recipe_id for recipe_id in accepted.recipe_ids if recipe_id in known))
    outside = sum(recipe_id not in known for recipe_id in accepted.recipe_ids)
    if not targets:
        return OUTSIDE, outside
    text = render(context, shown_candidates(context, candidates, form), form)
    example = Example(
        str(facts["plan_id"]), context.household.id, str(facts["split"]), text, targets, facts["accepted_at"]
    )
    return example, outside


def _rows(source: Dataset) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source.path) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(_COLUMNS)):
            yield from batch.to_pylist()


def _require_schema(file: Path, schema: Path) -> None:
    import pyarrow.parquet as pq

    missing = set(_COLUMNS) - set(pq.read_schema(file).names)
    if missing:
        raise TrainingRowsError(f"{file} has no column {', '.join(sorted(missing))}: it is not a planner dataset")
    if not schema.is_file():
        return
    found = json.loads(schema.read_text(encoding="utf-8")).get("schema_version")
    if found != SCHEMA_VERSION:
        raise TrainingRowsError(
            f"{file} has schema version {found}, this code reads {SCHEMA_VERSION}: build that week again with this version"
        )
