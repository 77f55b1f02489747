"""The two policy versions that a replay compares: the one that a published model is, and the one that is active.

What does not belong here: replaying (a pipeline's business), what is recorded of it (`core.replay_record`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from platform_assets.core.lake import Revision
from platform_assets.core.registered_model import FINGERPRINT, RegisteredModel
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import Warehouse

ACTIVE = -1


class NotRegistered(ValueError):
    """A model or version that the registries do not know; the message names what to run."""


@dataclass(frozen=True)
class Sides:
    """The two versions that a replay compares."""

    candidate: PolicyVersion
    baseline: PolicyVersion

    @property
    def model_version(self) -> str:
        """The candidate's version in MLflow."""
        return self.candidate.model_version or ""

    def document(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            name: {"id": side.id, "version": side.version, "model_version": side.model_version}
            for name, side in (("candidate", self.candidate), ("baseline", self.baseline))
        }

    def tags(self) -> dict[str, str]:
        """For an MLflow run."""
        return {
            "policy_id": self.candidate.policy_id,
            "model_name": self.candidate.model_name or "",
            "model_version": self.model_version,
            "policy_version": str(self.candidate.version),
            "baseline_version": str(self.baseline.version),
        }


def sides(warehouse: Warehouse, tracking: Tracking, model: RegisteredModel, published: Revision) -> Sides:
    """The version that a published model is, and the one that it is compared with: the active one, or the model's `bar`.

    Raises NotRegistered when they are the same, or when the registries do not know the model.
    """
    week, asset = published.address.partition, published.address.asset
    version = model.registered(tracking, str(published.lineage.details.get(FINGERPRINT, "")))
    candidate = Registry(warehouse).version_of_model(model.model_name, version) if version else None
    if version is None or candidate is None:
        raise NotRegistered(
            f"the model of {week} is no version of {model.policy}: materialise {asset} of that week again"
        )
    if model.digest_of(tracking, version) != published.digest:
        raise NotRegistered(
            f"the published model of {week} is not the one that is registered as {model.model_name} {version}: "
            f"materialise {asset} of that week again, which publishes the registered one"
        )
    active = baseline(warehouse, model, ACTIVE if model.bar is None else model.bar)
    if active.id == candidate.id:
        raise NotRegistered(
            f"the model of {week} is version {active.version} of {model.policy}, the active one: there is no other to "
            "compare it with"
        )
    return Sides(candidate, active)


def baseline(warehouse: Warehouse, model: RegisteredModel, number: int) -> PolicyVersion:
    """The policy version of a number; ACTIVE is the active one, the newest where several are."""
    model.ensure_policy(warehouse)
    versions = Registry(warehouse).versions(model.policy)
    wanted = [each for each in versions if (each.status == "active" if number == ACTIVE else each.version == number)]
    if not wanted:
        known = ", ".join(f"{each.version} ({each.status})" for each in versions)
        raise NotRegistered(
            f"{model.policy} has no {'active version' if number == ACTIVE else f'version {number}'}; it has {known}"
        )
    return wanted[-1]
