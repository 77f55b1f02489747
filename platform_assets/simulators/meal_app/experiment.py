"""What the events refer to in schema exp: policy version 0, and one experiment that changes nothing (an A/A test).

Households of some regions take part from the start, sticky. What does not belong here: deciding experiments.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from platform_assets.simulators.meal_app.households import REGIONS, Population
from platform_assets.simulators.meal_app.scenario import Scenario
from platform_assets.simulators.meal_app.text import draw_uuids, lookup, timestamps

POLICY_NAME = "planner_policy"
POLICY_ID = "5a11ab1e-0000-8000-8000-000000000010"
POLICY_VERSION_ID = "5a11ab1e-0000-8000-8000-000000000011"
EXPERIMENT_ID = "5a11ab1e-0000-8000-8000-000000000020"
EXPERIMENT_NAME = "plan_card_layout"
VARIANTS = (
    ("5a11ab1e-0000-8000-8000-000000000021", "control", 5000),
    ("5a11ab1e-0000-8000-8000-000000000022", "treatment", 5000),
)
REGIONS_IN_TEST = ("eu-north", "eu-west", "us-west")
_NOBODY = -1


def assign(people: Population) -> np.ndarray:
    """(H,) position of each household's variant, -1 outside the experiment.

    Bucket = first 8 bytes of SHA-256("experiment_id:unit_id") mod 10000, against cumulative basis points.
    """
    keys = [f"{EXPERIMENT_ID}:{unit}".encode() for unit in people.ids.to_pylist()]
    buckets = np.array([int.from_bytes(hashlib.sha256(key).digest()[:8], "big") % 10_000 for key in keys])
    variant = np.searchsorted(np.cumsum([share for *_, share in VARIANTS]), buckets, side="right")
    enrolled = np.isin(people.profile.values["region"][:, 0], [REGIONS.index(name) for name in REGIONS_IN_TEST])
    return np.where(enrolled, variant, _NOBODY)


def arms(variant: np.ndarray) -> pa.StringArray:
    """(H,) the `experiments` column of each household's events."""
    known = [f'[{{"experiment_id":"{EXPERIMENT_ID}","variant_id":"{each}"}}]' for each, *_ in VARIANTS]
    return lookup(["[]", *known], variant + 1)


def assignment_rows(rng: np.random.Generator, scenario: Scenario, people: Population, variant: np.ndarray) -> pa.Table:
    """Rows of exp.assignments for the households that take part."""
    units = np.nonzero(variant != _NOBODY)[0]
    return pa.table(
        {
            "id": draw_uuids(rng, len(units)),
            "experiment_id": pa.repeat(EXPERIMENT_ID, len(units)),
            "unit_type": pa.repeat("household", len(units)),
            "unit_id": people.ids.take(pa.array(units)),
            "variant_id": lookup([each for each, *_ in VARIANTS], variant[units]),
            "assigned_at": timestamps(np.full(len(units), scenario.start_us)),
        }
    )


def experiment_rows(scenario: Scenario) -> dict[str, pa.Table]:
    """Rows of exp.experiments and exp.variants."""
    start = timestamps(np.array([scenario.start_us]))
    experiment = {
        "id": [EXPERIMENT_ID],
        "name": [EXPERIMENT_NAME],
        "description": [f"the layout of the plan's card; households first seen in {', '.join(REGIONS_IN_TEST)}"],
        "status": ["active"],
        "unit_type": ["household"],
        "start_at": start,
    }
    identifiers, names, shares = zip(*VARIANTS, strict=True)
    created = timestamps(scenario.start_us + np.arange(len(VARIANTS)))
    variants = {
        "id": list(identifiers),
        "experiment_id": [EXPERIMENT_ID] * len(VARIANTS),
        "name": list(names),
        "allocation_bp": list(shares),
        "created_at": created,
    }
    return {"exp.experiments": pa.table(experiment), "exp.variants": pa.table(variants)}
