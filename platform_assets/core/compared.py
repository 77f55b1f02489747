"""The two policy versions that a replay compares: the one that a published model is, and the one that is active.

A release may be unable to ask the active one, where that needs other features than it makes or is written in another form. Version 0
is compared with in its place then: or every replay would be refused, and with them the only way to another active version. A version
whose files are broken stops the replay all the same. What does not belong here: replaying and telling whether a version can be
asked (a pipeline's business), what is recorded of it (`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from platform_assets.core.lake import Revision
from platform_assets.core.registered_model import FINGERPRINT, RegisteredModel
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import Warehouse

ACTIVE = -1
PASSED_OVER = "passed_over"


class NotRegistered(ValueError):
    """A model or version that the registries do not know; the message names what to run."""


@dataclass(frozen=True)
class PassedOver:
    """The active version, where another is compared with in its place, and why, as a sentence."""

    version: PolicyVersion
    reason: str

    def document(self) -> dict[str, Any]:
        """For a manifest."""
        return {**_named(self.version), "reason": self.reason}


@dataclass(frozen=True)
class Sides:
    """The two versions that a replay compares."""

    candidate: PolicyVersion
    baseline: PolicyVersion
    passed_over: PassedOver | None = None
    """None: the baseline is the one that it has to be."""

    @property
    def model_version(self) -> str:
        """The candidate's version in MLflow."""
        return self.candidate.model_version or ""

    def document(self) -> dict[str, Any]:
        """For a manifest."""
        found = {"candidate": _named(self.candidate), "baseline": _named(self.baseline)}
        return found | ({PASSED_OVER: self.passed_over.document()} if self.passed_over else {})

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


def pass_over(found: Sides, warehouse: Warehouse, model: RegisteredModel, reason: str) -> Sides:
    """The same, with version 0, which needs no model, in place of an active version that cannot be asked, as it `reason`."""
    told = f"the active version {found.baseline.version} cannot be asked, as it {reason}: version 0 is compared with in its place"
    return replace(found, baseline=baseline(warehouse, model, 0), passed_over=PassedOver(found.baseline, told))


def reason_of(compared: Mapping[str, Any]) -> str:
    """Of a manifest: why it is not the active version that was compared with; empty where it is."""
    return compared.get(PASSED_OVER, {}).get("reason", "")


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


def _named(version: PolicyVersion) -> dict[str, Any]:
    return {"id": version.id, "version": version.version, "model_version": version.model_version}
