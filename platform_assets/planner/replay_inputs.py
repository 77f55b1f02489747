"""What a replay's command line points to: models in MLflow, versions in Postgres, datasets in the lake or in a folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from platform_assets.core import compared, services
from platform_assets.core.compared import ACTIVE, NotRegistered, Sides
from platform_assets.core.folders import local_file
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import Tracking
from platform_assets.planner import registration
from platform_assets.planner.catalogue import RECIPES
from platform_assets.planner.model_documents import BATCH_SIZE
from platform_assets.planner.policies import Policy
from platform_assets.planner.replay_rows import Seen
from platform_assets.planner.training_rows import Dataset, read_dataset


@dataclass(frozen=True)
class Side:
    """One of the two policies: its model's folder, or none for the heuristic planner."""

    version: str
    """Of the policy, as exp.policy_versions counts."""
    folder: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    """Where a model decodes; none is CUDA where there is some."""
    dtype: str | None = None
    """Of a model's weights; none is what its planner.json says."""

    def load(self, batch_size: int = BATCH_SIZE) -> Policy:
        """The policy as it is served, to plan so many rows at a time."""
        from platform_assets.planner.baselines import HeuristicPlanner, HeuristicWeights
        from platform_assets.planner.decoding import load_policy

        if self.folder:
            return load_policy(self.folder, self.device, dtype=self.dtype, batch_size=batch_size)
        weights = {each.name: self.config[each.name] for each in fields(HeuristicWeights) if each.name in self.config}
        return HeuristicPlanner(HeuristicWeights(**weights))

    def seen(self) -> Seen:
        """What its model was trained on."""
        from platform_assets.planner.training_rows import ROWS_FILE

        return Seen.read(self.folder / ROWS_FILE) if self.folder else Seen()


@dataclass(frozen=True)
class Inputs:
    """Local files of everything that a replay reads."""

    compared: Sides
    candidate: Side
    baseline: Side
    datasets: tuple[Dataset, ...]
    recipes: Path


def resolve(options: argparse.Namespace, scratch: Path) -> Inputs:
    """Fetch models and find datasets; raises TrackingError, WarehouseError, NotRegistered or TrainingRowsError naming what is missing."""
    settings = Settings.from_environment()
    tracking, warehouse = services.open_tracking(settings), services.open_warehouse(settings)
    known = Registry(warehouse).version_of_model(options.model_name, options.model_version)
    if known is None or known.policy != registration.POLICY:
        raise NotRegistered(
            f"{options.model_name} {options.model_version} is no version of {registration.POLICY}: train it with "
            "planner/model, or with `python -m platform_assets.planner.training --register`"
        )
    candidate = _side(tracking, known, scratch)
    number = ACTIVE if options.baseline_version is None else options.baseline_version
    sides = Sides(known, compared.baseline(warehouse, registration.MODEL, number))
    baseline = _side(tracking, sides.baseline, scratch)
    candidate, baseline = (replace(side, device=options.device, dtype=options.dtype) for side in (candidate, baseline))
    recipes = local_file(options.recipes or candidate.folder or scratch, RECIPES)
    return Inputs(sides, candidate, baseline, tuple(map(read_dataset, options.dataset)), recipes)


def _side(tracking: Tracking, version: PolicyVersion, scratch: Path) -> Side:
    if version.model_version is None:
        return Side(str(version.version), None, version.config_defaults)
    target = scratch / f"version-{version.version}"  # the same for both, where a version is compared with itself
    return Side(
        str(version.version),
        registration.MODEL.fetch_model(tracking, version.model_version, target),
        version.config_defaults,
    )
