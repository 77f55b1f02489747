"""Plans as rows of exp.events: generated, intervened on, edited, accepted or rejected, in the documented JSON.

Columns only: text is joined by Arrow. What does not belong here: faults, and any decision about a plan.
Legend: N plans, E events.
"""

# pyarrow.compute gets its functions at run time, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from platform_assets.simulators.meal_app import behaviour
from platform_assets.simulators.meal_app.catalogue import Catalogue
from platform_assets.simulators.meal_app.diary import Plans
from platform_assets.simulators.meal_app.experiment import POLICY_VERSION_ID
from platform_assets.simulators.meal_app.households import MODES, WORKFLOWS, Population
from platform_assets.simulators.meal_app.scenario import DAY_NAMES, SECOND, WEEK, Scenario
from platform_assets.simulators.meal_app.text import (
    draw_uuids,
    integers,
    join,
    join_groups,
    lookup,
    timestamps,
)

GENERATED, INTERVENED, SWAPPED, EDITED, ACCEPTED, REJECTED = range(6)
TYPES = (
    "plan_generated",
    "validator_intervention",
    "meal_swapped",
    "edit_applied",
    "plan_accepted",
    "plan_rejected",
)
INTERVENTIONS = ("over_budget", "excluded_ingredient", "duplicate_slot")
REASONS = ("not_to_taste", "too_much_work", "ate_recently", "too_expensive", "changed_plans")
INTERVENED_SHARE = 0.02


@dataclass
class EventLog:
    """E events: rows of exp.events, and the plan each belongs to (a position in `plan_ids`)."""

    table: pa.Table
    plan: np.ndarray
    plan_ids: pa.StringArray


@dataclass(frozen=True)
class _Part:
    """Events of one type: the type, plan and moment of each, and its payload and metrics."""

    kind: int
    plan: np.ndarray
    moment: np.ndarray
    payload: pa.Array
    metrics: pa.Array


def build_events(
    rng: np.random.Generator, scenario: Scenario, catalogue: Catalogue, people: Population, plans: Plans,
    arms: pa.StringArray,
) -> EventLog:  # fmt: skip
    """The log of these plans in the order of recording. `arms` (H,) is each household's `experiments` column."""
    plan_ids = draw_uuids(rng, len(plans))
    head = join('{"plan_id":"', plan_ids, '"')
    parts = [
        _generated(rng, catalogue, plans, head),
        _intervened(rng, plans, head),
        *_edited(rng, catalogue, plans, head),
        _accepted(catalogue, plans, head),
        _rejected(rng, plans, head),
    ]
    plan = np.concatenate([part.plan for part in parts])
    moment = np.concatenate([part.moment for part in parts])
    created = moment + rng.integers(SECOND // 2, 30 * SECOND, len(moment))
    household = pa.array(plans.household[plan])
    table = pa.table(
        {
            "id": draw_uuids(rng, len(plan)),
            "event_type": lookup(TYPES, np.repeat([part.kind for part in parts], [len(part.plan) for part in parts])),
            "unit_type": pa.repeat("household", len(plan)),
            "unit_id": people.ids.take(household),
            "experiments": arms.take(household),
            "context": _contexts(rng, scenario, people, plans, plan),
            "metrics": pa.concat_arrays([part.metrics for part in parts]),
            "payload": pa.concat_arrays([part.payload for part in parts]),
            "timestamp": timestamps(moment),
            "created_at": timestamps(created),
        }
    )
    order = np.argsort(created, kind="stable")
    return EventLog(table.take(pa.array(order)), plan[order], plan_ids)


def _meals(catalogue: Catalogue, recipes: np.ndarray, servings: np.ndarray) -> pa.StringArray:
    """(N,) plans as `"plan":{"meals":[...]}`, monday first."""
    plan, day = np.nonzero(recipes >= 0)
    heads = catalogue.meal_heads.take(pa.array(day * len(catalogue) + recipes[plan, day]))
    meals = join(heads, integers(servings[plan, day]), "}")
    return join('"plan":{"meals":[', join_groups(meals, np.bincount(plan, minlength=len(recipes))), "]}")


def _generated(rng: np.random.Generator, catalogue: Catalogue, plans: Plans, head: pa.StringArray) -> _Part:
    everyone = np.arange(len(plans))
    payload = join(head, ",", _meals(catalogue, plans.recipes, plans.servings), "}")
    latency = rng.lognormal(np.log(320), 0.5, len(plans)).astype(np.int64)
    tokens = rng.integers(300, 900, len(plans))
    cost = pc.utf8_lpad(integers(tokens * 2), 6, "0")
    metrics = join(
        '{"latency_ms":', integers(latency), ',"token_count":', integers(tokens), ',"cost_usd":0.', cost, "}"
    )
    return _Part(GENERATED, everyone, plans.generated_at, payload, metrics)


def _intervened(rng: np.random.Generator, plans: Plans, head: pa.StringArray) -> _Part:
    plan = np.nonzero(rng.random(len(plans)) < INTERVENED_SHARE)[0]
    why = lookup(INTERVENTIONS, rng.integers(0, len(INTERVENTIONS), len(plan)))
    payload = join(head.take(pa.array(plan)), ',"intervention_type":"', why, '"}')
    return _Part(INTERVENED, plan, plans.generated_at[plan] + SECOND // 5, payload, _no_metrics(len(plan)))


def _edited(rng: np.random.Generator, catalogue: Catalogue, plans: Plans, head: pa.StringArray) -> list[_Part]:
    """Swaps, and the other edits; each somewhere between generation and acceptance."""
    parts = []
    for kind in (behaviour.SWAP, behaviour.ADJUST, behaviour.REMOVE, behaviour.ADD):
        plan, day = np.nonzero(plans.edits == kind)
        gap = plans.decided_at[plan] - plans.generated_at[plan]
        moment = plans.generated_at[plan] + (gap * rng.uniform(0.05, 0.95, len(plan))).astype(np.int64)
        start = join(head.take(pa.array(plan)), _EDIT_HEAD[kind], lookup(DAY_NAMES, day), '"')
        after, servings = plans.final_recipes[plan, day], integers(plans.final_servings[plan, day])
        if kind == behaviour.SWAP:
            before = lookup(catalogue.quoted_ids, plans.recipes[plan, day])
            payload = join(start, ',"from":', before, ',"to":', lookup(catalogue.quoted_ids, after), "}")
        elif kind == behaviour.ADJUST:
            payload = join(start, ',"servings":', servings, "}")
        elif kind == behaviour.REMOVE:
            payload = join(start, "}")
        else:
            payload = join(start, ',"recipe_id":', lookup(catalogue.quoted_ids, after), ',"servings":', servings, "}")
        event = SWAPPED if kind == behaviour.SWAP else EDITED
        parts.append(_Part(event, plan, moment, payload, _no_metrics(len(plan))))
    return parts


_EDIT_HEAD = {
    behaviour.SWAP: ',"day":"',
    behaviour.ADJUST: ',"type":"adjust_servings","day":"',
    behaviour.REMOVE: ',"type":"remove_meal","day":"',
    behaviour.ADD: ',"type":"add_meal","day":"',
}


def _accepted(catalogue: Catalogue, plans: Plans, head: pa.StringArray) -> _Part:
    plan = np.nonzero(plans.outcome == behaviour.ACCEPTED)[0]
    meals = _meals(catalogue, plans.final_recipes[plan], plans.final_servings[plan])
    edits = (plans.edits[plan] != behaviour.KEEP).sum(axis=1)
    metrics = join('{"edit_count":', integers(edits), "}")
    return _Part(ACCEPTED, plan, plans.decided_at[plan], join(head.take(pa.array(plan)), ",", meals, "}"), metrics)


def _rejected(rng: np.random.Generator, plans: Plans, head: pa.StringArray) -> _Part:
    plan = np.nonzero(plans.outcome == behaviour.REJECTED)[0]
    why = lookup(REASONS, rng.integers(0, len(REASONS), len(plan)))
    payload = join(head.take(pa.array(plan)), ',"rejection_reason":"', why, '"}')
    return _Part(REJECTED, plan, plans.decided_at[plan], payload, _no_metrics(len(plan)))


def _no_metrics(count: int) -> pa.Array:
    return pa.repeat("{}", count)


def _contexts(
    rng: np.random.Generator, scenario: Scenario, people: Population, plans: Plans, plan: np.ndarray
) -> pa.StringArray:
    """(E,) contexts: one request_id per event; the propensity 1/M on every event of a uniformly drawn plan."""
    kinds = [
        f'{{"policy_version_id":"{POLICY_VERSION_ID}","workflow_type":"{workflow}","mode":"{mode}","request_id":"'
        for workflow in WORKFLOWS
        for mode in MODES
    ]
    household = plans.household
    start = lookup(kinds, people.workflow[household] * len(MODES) + people.mode[household])
    version = integers((plans.generated_at - scenario.start_us) // (4 * WEEK))
    most = int(plans.admissible_count.max(initial=1))
    propensities = ["}", *(f',"propensity":{1 / count}}}' for count in range(1, most + 1))]
    end = join('","app_version":"3.', version, '.0"', lookup(propensities, plans.admissible_count * plans.randomised))
    return join(start.take(pa.array(plan)), draw_uuids(rng, len(plan)), end.take(pa.array(plan)))
