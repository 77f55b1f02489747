"""Households as rows: the current tables, and the version tables with both time axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from platform_assets.simulators.meal_app.catalogue import Catalogue
from platform_assets.simulators.meal_app.households import REGIONS, History, Population
from platform_assets.simulators.meal_app.ingredients import DIETS, EXCLUDABLE
from platform_assets.simulators.meal_app.text import lookup, timestamps


def household_rows(catalogue: Catalogue, people: Population) -> dict[str, pa.Table]:
    """Rows of the four household tables, by qualified name."""
    profile, limits = people.profile, people.constraints
    everyone = np.arange(len(people))
    created = timestamps(profile.recorded_at[:, 0])
    current = _profile_columns(catalogue, profile, everyone, profile.current)
    return {
        "public.households": pa.table({"id": people.ids, **current, "created_at": created}),
        "public.household_versions": _versions(
            people.ids, profile, lambda *at: _profile_columns(catalogue, profile, *at)
        ),
        "public.household_constraints": pa.table(
            {"household_id": people.ids, **_limit_columns(limits, everyone, limits.current)}
        ),
        "public.household_constraint_versions": _versions(people.ids, limits, lambda *at: _limit_columns(limits, *at)),
    }


def _versions(
    ids: pa.StringArray, history: History, columns: Callable[[np.ndarray, np.ndarray], dict[str, pa.Array]]
) -> pa.Table:
    row, version = np.nonzero(history.present)
    keys = {
        "household_id": ids.take(pa.array(row)),
        "valid_from": timestamps(history.valid_from[row, version]),
        "recorded_at": timestamps(history.recorded_at[row, version]),
    }
    return pa.table({**keys, **columns(row, version)})


def _profile_columns(
    catalogue: Catalogue, history: History, row: np.ndarray, version: np.ndarray
) -> dict[str, pa.Array]:
    names, _ = catalogue.attributes
    liked = pa.array([name.partition(":")[2] for name in names]).take(
        pa.array(history.values["preferences"][row, version].ravel())
    )
    pairs = pa.array(np.arange(0, 2 * len(row) + 1, 2, dtype=np.int32))
    return {
        "size": pa.array(history.values["size"][row, version], pa.int32()),
        "preferences": pa.ListArray.from_arrays(pairs, liked),
        "dietary_restrictions": _named(history.values["diets"][row, version], DIETS),
        "region": lookup(REGIONS, history.values["region"][row, version]),
    }


def _limit_columns(history: History, row: np.ndarray, version: np.ndarray) -> dict[str, pa.Array]:
    return {
        "budget": pa.array(history.values["budget"][row, version], pa.float64()),
        "max_prep_time": pa.array(history.values["max_prep"][row, version], pa.int32()),
        "excluded": _named(history.values["excluded"][row, version], EXCLUDABLE),
    }


def _named(bits: np.ndarray, vocabulary: tuple[str, ...]) -> pa.ListArray:
    """Bit sets as lists of names; there are few different sets, so each is spelt out once."""
    distinct, inverse = np.unique(bits, return_inverse=True)
    lists = [[name for place, name in enumerate(vocabulary) if int(each) >> place & 1] for each in distinct]
    return pa.array(lists, pa.list_(pa.string())).take(pa.array(inverse))
