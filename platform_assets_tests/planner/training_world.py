"""A few weeks of datasets, a catalogue and a base model with random weights: what a training of seconds needs."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.planner import schemas
from platform_assets.planner.catalogue import Catalogue
from platform_assets.planner.plans import DAYS
from platform_assets.planner.training_options import TrainingOptions
from platform_assets.planner.weekly import SCHEMA_VERSION
from platform_assets.simulators.meal_app.invented_recipes import invent_recipes
from platform_assets_tests.planner.small_model import write_base

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def write_world(folder: Path, weeks: Sequence[int] = (40, 30), **base: Any) -> TrainingOptions:
    """Options of a short training over weeks with so many rows."""
    folder.mkdir(parents=True, exist_ok=True)
    recipes = write_recipes(folder / "recipes.parquet")
    write_base(folder / "base", Catalogue.read(recipes).latest, **base)
    datasets = [
        write_dataset(folder / f"week{number}", [row(number * 1_000 + each) for each in range(rows)])
        for number, rows in enumerate(weeks)
    ]
    return TrainingOptions(
        tuple(datasets), str(folder / "base"), recipes, folder / "model", epochs=2, lr=3e-3, batch_size=8, threads=1,
        max_candidates=5, checkpoint_every=3, accelerator="cpu",
    )  # fmt: skip


def words(options: TrainingOptions) -> list[str]:
    """The options as a command line."""
    found = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value is None or isinstance(value, bool):
            continue
        if field.name == "dataset":
            found += [word for path in value for word in ("--dataset", str(path))]
        elif value != "":
            found += [f"--{field.name}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return found


def write_recipes(path: Path, count: int = 30) -> Path:
    """A catalogue of one version each, r001 and so on."""
    known = {"valid_from": BEGINNING, "recorded_at": BEGINNING}
    rows = [{**vars(recipe), **known} for recipe in invent_recipes(np.random.default_rng(1), count)]
    columns = [{name: each[name] for name in schemas.RECIPES.names} for each in rows]
    pq.write_table(pa.Table.from_pylist(columns, schema=schemas.RECIPES), path)
    return path


def write_dataset(folder: Path, rows: Sequence[dict[str, Any]], version: int = SCHEMA_VERSION) -> Path:
    """A dataset folder without a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "training.parquet")
    (folder / "schema.json").write_text(json.dumps({"schema_version": version, "fields": []}))
    return folder


def row(seed: int, **changes: Any) -> dict[str, Any]:
    """One accepted plan of two to five different recipes; every fifth household is a validation one.

    `changes`: accepted (recipe ids), budget, max_prep_time, split, timestamp.
    """
    chance = random.Random(seed)
    ids = [f"r{number:03d}" for number in range(1, 31)]
    accepted = changes.get("accepted", chance.sample(ids, chance.randint(2, 5)))
    recent = [plan(chance.sample(ids, chance.randint(1, 4))) for _ in range(1 + seed % 3)]
    return {
        "input": {
            "household": {
                "id": f"h{seed}", "size": chance.randint(1, 4), "restrictions": [], "region": "north",
                "preferences": chance.sample(["italian", "thai", "quick", "beans"], 2),
            },
            "pantry": {"items": [{"name": "rice", "quantity": 500.0, "unit": "g"}]},
            "constraints": {
                "budget": changes.get("budget", 400.0), "max_prep_time": changes.get("max_prep_time"),
                "excluded_ingredients": [],
            },
            "workflow_type": "plan-first", "mode": "autopilot", "previous_plan": recent[0], "recent_plans": recent,
        },
        "target": {"accepted_plan": plan(accepted)},
        "metadata": {
            "timestamp": changes.get("timestamp", BEGINNING + timedelta(days=1)),
            "accepted_at": changes.get("timestamp", BEGINNING + timedelta(days=1)) + timedelta(hours=1),
            "plan_id": f"p{seed:05d}",
            "split": changes.get("split", "validation" if seed % 5 == 0 else "train"),
        },
    }  # fmt: skip


def plan(recipe_ids: Sequence[str]) -> dict[str, Any]:
    """A plan's document."""
    days = zip(DAYS, recipe_ids, strict=False)
    return {"meals": [{"day": day, "recipe_id": recipe_id, "servings": 2} for day, recipe_id in days]}
