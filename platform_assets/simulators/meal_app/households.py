"""Households: latent tastes, habits, and attributes that change over time.

Tastes stay; what a household states about itself (size, preferences, diets, region, budget, time, exclusions) changes,
and some changes are recorded late. Nothing here decides what is planned or eaten.
Legend: H households, V versions, R recipes, K attributes. Absent versions have valid_from = NEVER.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from platform_assets.simulators.meal_app.catalogue import Catalogue
from platform_assets.simulators.meal_app.ingredients import DIETS, DISLIKED, EXCLUDABLE
from platform_assets.simulators.meal_app.scenario import DAY, HOUR, MINUTE, WEEK, Scenario
from platform_assets.simulators.meal_app.text import draw_uuids

VERSIONS = 4
CHANGES_PER_WEEK = 0.04
LATE_SHARE = 0.3
FEWEST_ADMISSIBLE = 15
NEVER = np.iinfo(np.int64).max
REGIONS = ("eu-north", "eu-west", "us-east", "us-west", "ap-south", "ap-east")
REGION_SHARES = (0.2, 0.25, 0.25, 0.1, 0.1, 0.1)
UTC_OFFSET_HOURS = np.array([1, 0, -5, -8, 5, 9])
WORKFLOWS = ("plan-first", "meal-first", "pantry-first")
MODES = ("autopilot", "exploratory", "constrained")
LIMITS = np.array([30, 45, 60, 90, 120, 240])


@dataclass(frozen=True)
class History:
    """Versions of some attributes: (H, V) times in microseconds, increasing in valid_from, and (H, V, ...) values."""

    valid_from: np.ndarray
    recorded_at: np.ndarray
    values: dict[str, np.ndarray]

    def as_of(self, rows: np.ndarray, moments: np.ndarray) -> dict[str, np.ndarray]:
        """Each row's values at its moment: the newest version that was valid and recorded by then."""
        visible = (self.valid_from[rows] <= moments[:, None]) & (self.recorded_at[rows] <= moments[:, None])
        newest = VERSIONS - 1 - np.argmax(visible[:, ::-1], axis=1)
        return {name: values[rows, newest] for name, values in self.values.items()}

    @property
    def present(self) -> np.ndarray:
        """(H, V) whether the version exists."""
        return self.valid_from != NEVER

    @property
    def current(self) -> np.ndarray:
        """(H,) position of the last version."""
        return self.present.sum(axis=1) - 1


@dataclass(frozen=True)
class Population:
    """H households; `taste` is what nobody in the simulated app can see."""

    ids: pa.StringArray
    taste: np.ndarray
    utility: np.ndarray
    profile: History
    constraints: History
    phase: np.ndarray
    meals: np.ndarray
    workflow: np.ndarray
    mode: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def draw_population(rng: np.random.Generator, scenario: Scenario, catalogue: Catalogue, count: int) -> Population:
    """`count` households; utility (H, R) has mean 0 and deviation 1 over the catalogue, for each household."""
    _, attributes = catalogue.attributes
    taste = rng.standard_normal((count, attributes.shape[1]), np.float32)
    # einsum and not @: a matrix product's last bit, and with it a draw, would depend on the machine's threads.
    utility = np.einsum("hk,rk->hr", taste, attributes)
    spread = np.maximum(utility.std(axis=1), 1e-6)[:, None]
    region = rng.choice(len(REGIONS), count, p=REGION_SHARES)
    profile = _draw_profile(rng, scenario, catalogue, taste, region)
    constraints = _draw_constraints(rng, scenario, catalogue, profile.values["size"][:, 0])
    _keep_feasible(catalogue, profile, constraints)
    return Population(
        ids=draw_uuids(rng, count),
        taste=taste / spread,
        utility=utility / spread,
        profile=profile,
        constraints=constraints,
        phase=_draw_phase(rng, region),
        meals=rng.choice([3, 4, 5, 6, 7], count, p=[0.1, 0.2, 0.35, 0.2, 0.15]),
        workflow=rng.choice(len(WORKFLOWS), count, p=[0.6, 0.2, 0.2]),
        mode=rng.choice(len(MODES), count, p=[0.5, 0.25, 0.25]),
    )


def admissible(catalogue: Catalogue, diets: np.ndarray, excluded: np.ndarray, max_prep: np.ndarray) -> np.ndarray:
    """(n, R) whether a recipe fits the diets, holds nothing excluded, and is quick enough."""
    fits = (catalogue.diet_bits & diets[:, None]) == diets[:, None]
    clean = (catalogue.excludable_bits & excluded[:, None]) == 0
    return fits & clean & (catalogue.prep <= max_prep[:, None])


def _draw_phase(rng: np.random.Generator, region: np.ndarray) -> np.ndarray:
    """When in the week, counted from Friday 00:00 UTC, a household plans: more at weekends, in its own evening."""
    day = rng.choice(7, len(region), p=[0.12, 0.19, 0.22, 0.13, 0.11, 0.11, 0.12])
    hour = (rng.normal(17.5, 3.5, len(region)) - UTC_OFFSET_HOURS[region]) % 24
    return ((day + hour / 24) * DAY).astype(np.int64)


def _draw_times(rng: np.random.Generator, scenario: Scenario, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, V) valid_from and recorded_at: the first version weeks before the start, later ones at random in the range."""
    changes = np.minimum(rng.poisson(CHANGES_PER_WEEK * scenario.weeks, count), VERSIONS - 1)
    valid = np.empty((count, VERSIONS), np.int64)
    valid[:, 0] = scenario.start_us - rng.integers(7 * DAY, 12 * WEEK, count)
    moments = np.sort(rng.integers(scenario.start_us, scenario.end_us, (count, VERSIONS - 1)), axis=1)
    valid[:, 1:] = np.where(np.arange(VERSIONS - 1) < changes[:, None], moments, NEVER)
    late = rng.random(valid.shape) < LATE_SHARE
    late[:, 0] = False
    delay = np.where(late, rng.integers(6 * HOUR, 10 * DAY, valid.shape), rng.integers(MINUTE, HOUR, valid.shape))
    return valid, np.where(valid == NEVER, NEVER, valid + np.where(valid == NEVER, 0, delay))


def _evolve(rng: np.random.Generator, first: np.ndarray, draw_other: np.ndarray, share: float) -> np.ndarray:
    """(H, V): version by version the value is kept, or replaced by `draw_other` in about `share` of the cases."""
    versions = np.repeat(first[:, None], VERSIONS, axis=1)
    for position in range(1, VERSIONS):
        changed = rng.random(len(first)) < share
        versions[:, position] = np.where(changed, draw_other[:, position], versions[:, position - 1])
    return versions


def _draw_profile(
    rng: np.random.Generator, scenario: Scenario, catalogue: Catalogue, taste: np.ndarray, region: np.ndarray
) -> History:
    count = len(region)
    shape = (count, VERSIONS)
    size = rng.choice([1, 2, 3, 4, 5, 6], shape, p=[0.18, 0.32, 0.18, 0.2, 0.08, 0.04])
    diet_options = np.array([0, *(1 << position for position in range(len(DIETS))), 0b101 << 1])
    diets = rng.choice(diet_options, shape, p=[0.64, 0.12, 0.04, 0.05, 0.07, 0.06, 0.02])
    names, _ = catalogue.attributes
    valid, recorded = _draw_times(rng, scenario, count)
    values = {
        "size": _evolve(rng, size[:, 0], size, 0.4),
        "diets": _evolve(rng, diets[:, 0], diets, 0.2),
        "region": _evolve(rng, region, rng.choice(len(REGIONS), shape, p=REGION_SHARES), 0.2),
        "preferences": _draw_preferences(rng, taste, names),
    }
    return History(valid, recorded, values)


def _draw_preferences(rng: np.random.Generator, taste: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(H, V, 2) attributes a household says it likes: an honest but rough hint, two of its five strongest."""
    strongest = np.argsort(-taste, axis=1)[:, : min(5, len(names))]
    picks = np.argsort(rng.random((len(taste), VERSIONS, strongest.shape[1])), axis=2)[:, :, :2]
    return np.sort(np.take_along_axis(strongest[:, None, :], picks, axis=2), axis=2)


def _draw_constraints(rng: np.random.Generator, scenario: Scenario, catalogue: Catalogue, size: np.ndarray) -> History:
    shape = (len(size), VERSIONS)
    dear = np.quantile(catalogue.cost, rng.uniform(0.7, 1.0, shape))
    budget = np.ceil(7 * size[:, None] * dear * 1.15 / 5) * 5
    options = np.array([0, *(1 << position for position in range(len(EXCLUDABLE)))])
    odds = np.array([0.6] + [0.25 / (len(EXCLUDABLE) - len(DISLIKED))] * (len(EXCLUDABLE) - len(DISLIKED)))
    odds = np.concatenate([odds, [0.15 / len(DISLIKED)] * len(DISLIKED)])
    excluded = rng.choice(options, shape, p=odds) | rng.choice(options, shape, p=odds) * (rng.random(shape) < 0.2)
    limit = LIMITS[rng.choice(len(LIMITS), shape, p=[0.08, 0.15, 0.27, 0.25, 0.15, 0.1])]
    valid, recorded = _draw_times(rng, scenario, len(size))
    values = {
        "budget": _evolve(rng, budget[:, 0], budget, 0.5),
        "max_prep": _evolve(rng, limit[:, 0], limit, 0.3),
        "excluded": _evolve(rng, excluded[:, 0], excluded, 0.4),
    }
    return History(valid, recorded, values)


def _keep_feasible(catalogue: Catalogue, profile: History, constraints: History) -> None:
    """Loosen, in place, whatever would leave a household fewer than FEWEST_ADMISSIBLE recipes at any time.

    Judged on the strictest mix of all its versions, so that every moment between them is feasible too.
    """
    for relax in ("excluded", "max_prep", "diets"):
        diets = np.bitwise_or.reduce(profile.values["diets"], axis=1)
        excluded = np.bitwise_or.reduce(constraints.values["excluded"], axis=1)
        limit = constraints.values["max_prep"].min(axis=1)
        poor = admissible(catalogue, diets, excluded, limit).sum(axis=1) < FEWEST_ADMISSIBLE
        if relax == "excluded":
            constraints.values["excluded"][poor] = 0
        elif relax == "max_prep":
            constraints.values["max_prep"][poor] = LIMITS[-1]
        else:
            profile.values["diets"][poor] = 0
