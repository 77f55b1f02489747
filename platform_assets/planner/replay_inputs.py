"""What a replay's command line points to: models in MLflow, versions in Postgres, datasets in the lake or in a folder."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from platform_assets.core import services
from platform_assets.core.folders import local_file
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import Tracking
from platform_assets.planner import registration, replay_record
from platform_assets.planner.catalogue import RECIPES
from platform_assets.planner.replay import Side


@dataclass(frozen=True)
class Inputs:
    """Local files of everything that a replay reads."""

    candidate: Side
    baseline: Side
    datasets: tuple[Path, ...]
    recipes: Path


def resolve(options: argparse.Namespace, scratch: Path) -> Inputs:
    """Fetch models and find datasets; raises TrackingError, WarehouseError or PlanError naming what is missing."""
    from platform_assets.planner.training_rows import read_dataset

    settings = Settings.from_environment()
    tracking, warehouse = services.open_tracking(settings), services.open_warehouse(settings)
    known = Registry(warehouse).version_of_model(options.model_name, options.model_version)
    if known is None:
        raise replay_record.NotRegistered(
            f"{options.model_name} {options.model_version} is no version of {registration.POLICY}: train it with "
            "planner/model, or with `python -m platform_assets.planner.training --register`"
        )
    candidate = _side(tracking, known, scratch)
    number = replay_record.ACTIVE if options.baseline_version is None else options.baseline_version
    baseline = _side(tracking, replay_record.baseline(warehouse, number), scratch)
    candidate, baseline = (replace(side, device=options.device, dtype=options.dtype) for side in (candidate, baseline))
    recipes = local_file(options.recipes or candidate.folder or scratch, RECIPES)
    return Inputs(candidate, baseline, tuple(read_dataset(path).path for path in options.dataset), recipes)


def _side(tracking: Tracking, version: PolicyVersion, scratch: Path) -> Side:
    if version.model_version is None:
        return Side(str(version.version), None, version.config_defaults)
    target = scratch / f"version-{version.version}"
    target.mkdir(exist_ok=True)  # a version may be compared with itself
    packed = registration.versions(tracking).fetch(version.model_version, target)
    return Side(str(version.version), registration.model_folder(packed), version.config_defaults)
