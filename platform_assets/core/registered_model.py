"""A trained model in MLflow, as a registered version, and in the policy registry, as a version of the policy it serves.

A pipeline says once which model and which policy (`RegisteredModel`). The order makes a crash harmless: files are uploaded to
the run first, and the version is created last, in one request with all its tags; a re-run finds it by its fingerprint and
registers nothing twice. What does not belong here: training (`core.weekly_training`), what the version is worth
(`core.weekly_verdict`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platform_assets.core import packed_model
from platform_assets.core.folders import folder_digest
from platform_assets.core.model_versions import STAGE, ModelVersions
from platform_assets.core.quality import Outcome
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.source_code import git_sha
from platform_assets.core.tracking import Run, Tracking, TrackingError
from platform_assets.core.warehouse import Warehouse

FINGERPRINT, DEFAULTS, MODEL_DIGEST = "fingerprint", "serving_defaults", "model_digest"
ARTEFACT = "model"


class AlteredModel(TrackingError):
    """What MLflow holds of a version is not what was registered."""


@dataclass(frozen=True)
class RegisteredModel:
    """One pipeline's model, and the policy whose versions it becomes."""

    model_name: str
    """In MLflow."""
    policy: str
    """In exp.policies."""
    description: str
    """Of the policy, for people."""
    experiment: str
    """Of the trainings' runs, one of `tracking.EXPERIMENTS`."""
    task: str
    """The tag by which people find what a model is for."""
    version_zero: Callable[[], Mapping[str, Any]]
    """The configuration of the policy's version 0, which needs no model and is active from the start."""
    pack: Callable[[Path, Path], None]
    """(model folder, target): writes what MLflow is to hold; the folder itself lies where `packed_model` says."""
    bar: int | None = None
    """The policy's version that every model is compared with; None: whichever is active."""

    def versions(self, tracking: Tracking) -> ModelVersions:
        """Its registered versions."""
        return ModelVersions(tracking, self.model_name)

    def registered(self, tracking: Tracking, fingerprint: str) -> str | None:
        """The version that a training with this fingerprint became, if it did."""
        return self.versions(tracking).find({FINGERPRINT: fingerprint})

    def run_of(self, tracking: Tracking, version: str) -> Run:
        """The training's run, from which a version was registered; raises TrackingError when it was deleted."""
        return tracking.open_run(self.versions(tracking).all()[version]["run_id"])

    def digest_of(self, tracking: Tracking, version: str) -> str | None:
        """The digest that a version's folder had when it was registered; None of one whose training did not record it."""
        return self.versions(tracking).all()[version].get(MODEL_DIGEST)

    def tags(self, warehouse: Warehouse, fingerprint: str) -> dict[str, str]:
        """What every training's run and its registered version are found and explained by, whoever trains."""
        return {
            "policy_id": self.ensure_policy(warehouse),
            "task": self.task,
            FINGERPRINT: fingerprint,
            "git_sha": git_sha(),
        }

    def register(
        self,
        tracking: Tracking,
        run: Run,
        folder: Path,
        fingerprint: str,
        tags: Mapping[str, str],
        defaults: Mapping[str, Any],
    ) -> str:
        """Log a model folder to its run and register it; returns the version, the known one where there is one already.

        `defaults` are what its policy version will say of how it is served; kept on the version, so that a crash before that
        row is written can be mended from MLflow alone.
        """
        if known := self.registered(tracking, fingerprint):
            return known
        tags = {**tags, FINGERPRINT: fingerprint, DEFAULTS: json.dumps(dict(defaults), sort_keys=True)}
        run.set_tags(tags)
        for picture in sorted(folder.glob("*.png")):
            run.log_file(picture)
        with TemporaryDirectory(prefix="registration-") as scratch:
            packed = Path(scratch) / ARTEFACT
            self.pack(folder, packed)
            run.log_folder(packed, ARTEFACT)
        return self.versions(tracking).register(run, ARTEFACT, {**tags, STAGE: "training"})

    def fetch_model(self, tracking: Tracking, version: str, target: Path) -> Path:
        """The model folder of a registered version, downloaded below `target`; raises AlteredModel."""
        target.mkdir(exist_ok=True)
        folder = packed_model.model_folder(self.versions(tracking).fetch(version, target))
        registered_digest, found = self.digest_of(tracking, version), folder_digest(folder)
        if registered_digest not in (None, found):
            raise AlteredModel(
                f"the files of {self.model_name} {version} have the digest {found}, registered was {registered_digest}: "
                "restore the artefacts of its run, or train the model again"
            )
        return folder

    def ensure_policy(self, warehouse: Warehouse) -> str:
        """The id of the policy, which is there afterwards with its version 0."""
        registry = Registry(warehouse)
        policy = registry.ensure_policy(self.policy, self.description)
        registry.ensure_version_zero(self.policy, self.version_zero())
        return policy

    def register_policy_versions(self, tracking: Tracking, warehouse: Warehouse) -> dict[str, PolicyVersion]:
        """The policy version of every registered model, by MLflow's version; made where it is missing, also for those of others.

        Of others: a training that was killed between MLflow and Postgres, and whose code was changed since, registers another
        version when it is repeated; the first would have no policy version for ever.
        """
        registry, found = Registry(warehouse), {}
        recorded = {each.model_version: each for each in registry.versions(self.policy)}
        for version, tags in self.versions(tracking).all().items():
            known = recorded.get(version)
            if known is None and DEFAULTS in tags:
                known = registry.register_version(self.policy, self.model_name, version, json.loads(tags[DEFAULTS]))
            if known is not None:
                found[version] = known
                if tags.get("policy_version_id") != known.id:
                    named = {"policy_version_id": known.id, "policy_version": str(known.version)}
                    self.versions(tracking).set_tags(version, named)
        return found

    def judge_agreement(self, tracking: Tracking, warehouse: Warehouse, name: str) -> Outcome:
        """The check that MLflow's versions and the policy's name each other, in both directions."""
        known = self.versions(tracking).all()
        different = Registry(warehouse).differences(self.policy, known)
        reason = (
            "; ".join(different[:5]) or f"{len(known)} version(s) of {self.model_name}, each a version of {self.policy}"
        )
        return Outcome(name, not different, reason, {"differences": len(different)})
