"""What a training of the query predictor is found and explained by, whoever trains: its week's features.

What does not belong here: how it is recorded while it goes on (`training.record`), how its model is registered (`registration`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.core.tracking import DatasetReference
from platform_assets.core.trained_on import TrainedOn
from platform_assets.query_predictor import registration, trained_model
from platform_assets.training.record import Subject

if TYPE_CHECKING:
    from platform_assets.query_predictor.training_inputs import Inputs


def trained_on(week: str, digest: str, uri: str, rows: int, zero_cost_digest: str) -> TrainedOn:
    """The week's features, and the categories beside them."""
    name = f"query_predictor/features/{week}"
    return TrainedOn([DatasetReference(name, digest, uri, rows)], {"zero_cost_digest": zero_cost_digest})


def subject(inputs: Inputs) -> Subject:
    """Of a training that the program makes."""
    rows, uri = sum(inputs.sizes().values()), str(inputs.options.features)
    read = trained_on(inputs.week.week.isoformat(), inputs.features_digest, uri, rows, inputs.zero_cost_digest)
    return Subject(registration.MODEL, inputs.fingerprint, read, trained_model.serving_defaults)
