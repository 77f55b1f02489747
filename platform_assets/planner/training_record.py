"""What a training of the planner is found and explained by, whoever trains: its weekly datasets and its base.

What does not belong here: how it is recorded while it goes on (`training.record`), how its model is registered
(`planner.registration`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from platform_assets.core.tracking import DatasetReference
from platform_assets.core.trained_on import TrainedOn
from platform_assets.planner import registration, trained_model
from platform_assets.planner.model_documents import BaseModel
from platform_assets.training.record import Subject

if TYPE_CHECKING:
    from platform_assets.planner.training_inputs import Inputs


def trained_on(datasets: Sequence[DatasetReference], base: BaseModel) -> TrainedOn:
    """The datasets, oldest first, and the base."""
    return TrainedOn(datasets, {"base_digest": base.digest, "base_revision": base.revision})


def subject(inputs: Inputs) -> Subject:
    """Of a training that the program makes."""
    # Their names are dates.
    ordered = sorted(inputs.datasets, key=lambda each: each.name)
    datasets = [DatasetReference(f"planner/{each.name}", each.digest, each.uri, each.rows) for each in ordered]
    read = trained_on(datasets, inputs.base)
    return Subject(registration.MODEL, inputs.fingerprint, read, trained_model.serving_defaults)
