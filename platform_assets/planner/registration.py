"""A trained planner in MLflow, as a registered version, and in the policy registry, as a version of `planner_policy`.

The order makes a crash harmless: files are uploaded to the run first, and the version is created last, in one request with
all its tags; a re-run finds it by its fingerprint and registers nothing twice. What the version is worth is judged a week
later (`planner.judgement`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platform_assets.core.folders import folder_digest
from platform_assets.core.model_versions import STAGE, ModelVersions
from platform_assets.core.quality import Outcome
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.tracking import Run, Tracking, TrackingError
from platform_assets.core.warehouse import Warehouse

MODEL_NAME = "planner_model"
POLICY, DESCRIPTION = "planner_policy", "the meal planner"
EXPERIMENT = "planner_training"
TASK = "weekly plan generation"
FINGERPRINT, DEFAULTS, MODEL_DIGEST = "fingerprint", "serving_defaults", "model_digest"
ARTEFACT = "model"
LIBRARIES = (
    "llguidance", "mlflow", "numpy", "pandas", "peft", "pyarrow", "safetensors", "scipy", "torch", "transformers",
)  # fmt: skip
_PACKAGE = Path(__file__).parents[1]


class AlteredModel(TrackingError):
    """What MLflow holds of a version is not what was registered."""


def versions(tracking: Tracking) -> ModelVersions:
    """The planner's registered versions."""
    return ModelVersions(tracking, MODEL_NAME)


def registered(tracking: Tracking, fingerprint: str) -> str | None:
    """The version that a training with this fingerprint became, if it did."""
    return versions(tracking).find({FINGERPRINT: fingerprint})


def run_of(tracking: Tracking, version: str) -> Run:
    """The training's run, from which a version was registered; raises TrackingError when it was deleted."""
    return tracking.open_run(versions(tracking).all()[version]["run_id"])


def register(
    tracking: Tracking, run: Run, folder: Path, fingerprint: str, tags: Mapping[str, str], defaults: Mapping[str, Any]
) -> str:
    """Log a model folder to its run and register it; returns the version, the known one where there is one already.

    `defaults` are what its policy version will say of how it is served; kept on the version, so that a crash before that
    row is written can be mended from MLflow alone.
    """
    if known := registered(tracking, fingerprint):
        return known
    tags = {**tags, FINGERPRINT: fingerprint, DEFAULTS: json.dumps(dict(defaults), sort_keys=True)}
    run.set_tags(tags)
    for picture in sorted(folder.glob("*.png")):
        run.log_file(picture)
    with TemporaryDirectory(prefix="registration-") as scratch:
        packed = Path(scratch) / ARTEFACT
        pack(folder, packed)
        run.log_folder(packed, ARTEFACT)
    return versions(tracking).register(run, ARTEFACT, {**tags, STAGE: "training"})


def pack(folder: Path, target: Path) -> None:
    """Write a model folder as a pyfunc that brings this package along, so that `mlflow models serve` needs only libraries."""
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(
        str(target),
        python_model=str(_PACKAGE / "planner" / "served_model.py"),
        artifacts={"model": str(folder)},
        code_paths=[str(_PACKAGE)],
        pip_requirements=requirements(),
    )


def requirements() -> list[str]:
    """What serving needs, at the versions of this environment."""
    return [f"{name}=={installed(name).split('+')[0]}" for name in LIBRARIES]


def model_folder(downloaded: Path) -> Path:
    """Where the model folder lies within a packed model."""
    return downloaded / "artifacts" / "model"


def fetch_model(tracking: Tracking, version: str, target: Path) -> Path:
    """The model folder of a registered version, downloaded below `target`; raises AlteredModel."""
    target.mkdir(exist_ok=True)
    folder = model_folder(versions(tracking).fetch(version, target))
    registered_digest, found = versions(tracking).all()[version].get(MODEL_DIGEST), folder_digest(folder)
    if registered_digest not in (None, found):
        raise AlteredModel(
            f"the files of {MODEL_NAME} {version} have the digest {found}, registered was {registered_digest}: restore the "
            "artefacts of its run, or train the model again"
        )
    return folder


def log_parameters(run: Run, parameters: Mapping[str, Any]) -> None:
    """The documented parameters of a training and whatever else it was given."""
    run.log_parameters({name: str(value)[:500] for name, value in parameters.items()})


def ensure_policy(warehouse: Warehouse) -> str:
    """The id of planner_policy, which is there afterwards with its version 0, the heuristic planner."""
    from platform_assets.planner.baselines import HeuristicPlanner

    registry = Registry(warehouse)
    policy = registry.ensure_policy(POLICY, DESCRIPTION)
    registry.ensure_version_zero(POLICY, HeuristicPlanner().document())
    return policy


def register_policy_versions(tracking: Tracking, warehouse: Warehouse) -> dict[str, PolicyVersion]:
    """The policy version of every registered model, by MLflow's version; made where it is missing, also for those of others.

    Of others: a training that was killed between MLflow and Postgres, and whose code was changed since, registers another
    version when it is repeated; the first would have no policy version for ever.
    """
    registry, found = Registry(warehouse), {}
    recorded = {each.model_version: each for each in registry.versions(POLICY)}
    for version, tags in versions(tracking).all().items():
        known = recorded.get(version)
        if known is None and DEFAULTS in tags:
            known = registry.register_version(POLICY, MODEL_NAME, version, json.loads(tags[DEFAULTS]))
        if known is not None:
            found[version] = known
            if tags.get("policy_version_id") != known.id:
                named = {"policy_version_id": known.id, "policy_version": str(known.version)}
                versions(tracking).set_tags(version, named)
    return found


def judge_agreement(tracking: Tracking, warehouse: Warehouse, name: str) -> Outcome:
    """The check that MLflow's versions and the policy's name each other, in both directions."""
    known = versions(tracking).all()
    different = Registry(warehouse).differences(POLICY, known)
    reason = "; ".join(different[:5]) or f"{len(known)} version(s) of {MODEL_NAME}, each a version of {POLICY}"
    return Outcome(name, not different, reason, {"differences": len(different)})
