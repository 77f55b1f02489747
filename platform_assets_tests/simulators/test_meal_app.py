"""The simulated meal app in memory: repeatable, honest about its plants, and consistent with the tables it writes."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from platform_assets.planner import contract
from platform_assets.simulators.meal_app import Faults, Scenario, World, simulate, stream

START = date(2026, 1, 2)
WEEKS = 4


@pytest.fixture(scope="module")
def clean() -> World:
    return simulate(Scenario(5, 300, START, WEEKS, faults=Faults.none()))


@pytest.fixture(scope="module")
def plans(clean: World) -> dict[str, dict]:
    """plan_id -> everything the clean log says about it."""
    found: dict[str, dict] = defaultdict(lambda: {"edits": []})
    for event in clean.tables["exp.events"].to_pylist():
        event |= {name: msgspec.json.decode(event[name]) for name in ("payload", "context", "metrics")}
        plan = found[event["payload"]["plan_id"]]
        if event["event_type"] in ("meal_swapped", "edit_applied"):
            plan["edits"].append(event)
        else:
            plan[event["event_type"]] = event
    return dict(found)


def utilities(world: World) -> dict[str, dict[str, float]]:
    """household_id -> recipe_id -> how much it likes the recipe."""
    names = world.recipe_attributes.column_names[1:]
    attributes = np.column_stack([world.recipe_attributes[name].to_numpy() for name in names])
    tastes = np.column_stack([world.tastes[name].to_numpy() for name in names])
    recipes = world.recipe_attributes["recipe_id"].to_pylist()
    rows = zip(world.tastes["household_id"].to_pylist(), tastes @ attributes.T, strict=True)
    return {household: dict(zip(recipes, row.tolist(), strict=True)) for household, row in rows}


def meals_of(event: dict) -> dict[str, tuple[str, int]]:
    return {meal["day"]: (meal["recipe_id"], meal["servings"]) for meal in event["payload"]["plan"]["meals"]}


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others() -> None:
    scenario = Scenario(11, 60, START, 2)
    first, second, other = simulate(scenario), simulate(scenario), simulate(Scenario(12, 60, START, 2))
    assert first.tables.keys() == second.tables.keys()
    for name, table in first.tables.items():
        assert table.equals(second.tables[name]), name
    assert first.ground_truth.equals(second.ground_truth)
    assert first.tastes.equals(second.tastes)
    for name in ("exp.events", "public.pantry_snapshots", "public.households"):
        assert not first.tables[name].equals(other.tables[name]), name


def test_a_large_scenario_comes_in_chunks_that_together_are_the_whole() -> None:
    scenario = Scenario(3, 120, START, 200, faults=Faults.none())
    parts = [part.event_count for part in stream(scenario)]
    assert len(parts) == 3
    whole = simulate(scenario)
    assert whole.event_count == sum(parts)
    assert whole.tables["public.households"].num_rows == 120
    assert len(set(whole.tables["exp.events"]["id"].to_pylist())) == whole.event_count


def test_a_clean_log_keeps_to_the_contract_of_every_event(clean: World) -> None:
    for event in clean.tables["exp.events"].to_pylist():
        contract.PAYLOADS[event["event_type"]].decode(event["payload"])
        contract.CONTEXT.decode(event["context"])
        contract.EXPERIMENTS.decode(event["experiments"])
        contract.METRICS.decode(event["metrics"])
    for items in clean.tables["public.pantry_snapshots"]["items"].to_pylist():
        contract.PANTRY.decode(items)
    assert clean.ground_truth.num_rows == 0


def test_requests_and_events_are_unique_in_a_clean_log(clean: World) -> None:
    events = clean.tables["exp.events"].to_pylist()
    requests = {msgspec.json.decode(event["context"])["request_id"] for event in events}
    assert len(requests) == len({event["id"] for event in events}) == len(events)


def test_an_accepted_plan_is_the_generated_one_after_its_edits(plans: dict[str, dict]) -> None:
    edited = 0
    for plan in plans.values():
        if "plan_accepted" not in plan:
            assert not plan["edits"]
            continue
        meals = meals_of(plan["plan_generated"])
        for edit in sorted(plan["edits"], key=lambda event: event["timestamp"]):
            apply(meals, edit["payload"])
        assert meals == meals_of(plan["plan_accepted"])
        assert plan["plan_accepted"]["metrics"]["edit_count"] == len(plan["edits"])
        edited += bool(plan["edits"])
    assert edited > 100


def apply(meals: dict[str, tuple[str, int]], edit: dict) -> None:
    day = edit["day"]
    match edit.get("type", "swap"):
        case "swap":
            assert meals[day][0] == edit["from"]
            meals[day] = (edit["to"], meals[day][1])
        case "adjust_servings":
            assert meals[day][1] != edit["servings"]
            meals[day] = (meals[day][0], edit["servings"])
        case "remove_meal":
            del meals[day]
        case "add_meal":
            assert day not in meals
            meals[day] = (edit["recipe_id"], edit["servings"])


def test_plans_have_three_to_seven_meals_on_different_days_and_no_recipe_twice(plans: dict[str, dict]) -> None:
    for plan in plans.values():
        for kind in {"plan_generated", "plan_accepted"} & plan.keys():
            meals = plan[kind]["payload"]["plan"]["meals"]
            assert 3 <= len(meals) <= 7
            assert len({meal["day"] for meal in meals}) == len({meal["recipe_id"] for meal in meals}) == len(meals)


def test_everything_happens_in_order_and_inside_the_range(plans: dict[str, dict]) -> None:
    for plan in plans.values():
        generated = plan["plan_generated"]["timestamp"]
        decided = plan.get("plan_accepted", plan.get("plan_rejected"))
        assert START <= generated.date() < START + timedelta(weeks=WEEKS)
        if decided:
            assert timedelta() < decided["timestamp"] - generated < timedelta(days=7)
            assert decided["timestamp"].date() < START + timedelta(weeks=WEEKS)
            assert all(generated < edit["timestamp"] < decided["timestamp"] for edit in plan["edits"])
    weekly = 300 * WEEKS
    assert 1.2 <= len(plans) / weekly <= 1.6
    assert 0.85 <= sum("plan_accepted" in plan for plan in plans.values()) / weekly <= 1.05


def test_plans_are_made_on_every_weekday_and_at_every_hour(plans: dict[str, dict]) -> None:
    moments = [plan["plan_generated"]["timestamp"] for plan in plans.values()]
    assert {moment.weekday() for moment in moments} == set(range(7))
    assert {moment.hour for moment in moments} == set(range(24))


def test_accepted_plans_fit_the_planted_tastes_better_than_generated_ones(clean: World, plans: dict[str, dict]) -> None:
    liking = utilities(clean)
    gains, swaps = [], []
    for plan in plans.values():
        known = liking[plan["plan_generated"]["unit_id"]]
        if "plan_accepted" in plan:
            before, after = (
                np.mean([known[recipe] for recipe, _ in meals_of(plan[kind]).values()])
                for kind in ("plan_generated", "plan_accepted")
            )
            gains.append(after - before)
        swaps += [
            known[e["payload"]["to"]] - known[e["payload"]["from"]] for e in plan["edits"] if "to" in e["payload"]
        ]
    assert np.mean(gains) > 0.15
    assert np.mean(swaps) > 1.0


@pytest.mark.parametrize("randomised", [True, False])
def test_the_policy_does_not_know_the_tastes(clean: World, plans: dict[str, dict], randomised: bool) -> None:
    liking, by_household = utilities(clean), defaultdict(list)
    for plan in plans.values():
        event = plan["plan_generated"]
        if ("propensity" in event["context"]) == randomised:
            by_household[event["unit_id"]] += [
                liking[event["unit_id"]][recipe] for recipe, _ in meals_of(event).values()
            ]
    means = np.array([np.mean(values) for values in by_household.values()])
    # Utilities have mean 0 over the catalogue, and households are the independent units.
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(len(means))


def test_at_least_a_tenth_of_the_plans_is_drawn_uniformly_and_says_so(plans: dict[str, dict]) -> None:
    uniform = [plan for plan in plans.values() if "propensity" in plan["plan_generated"]["context"]]
    assert 0.10 <= len(uniform) / len(plans) < 0.13
    for plan in uniform:
        events = [value for key, value in plan.items() if key != "edits"] + plan["edits"]
        assert len({event["context"]["propensity"] for event in events}) == 1


def test_generated_plans_keep_the_constraints_known_at_the_time_and_propensity_counts_them(
    clean: World, plans: dict[str, dict]
) -> None:
    recipes = {row["id"]: row for row in reversed(clean.tables["public.recipes"].to_pylist())}
    profiles = versions(clean, "public.household_versions")
    limits = versions(clean, "public.household_constraint_versions")
    checked = 0
    for plan in plans.values():
        event = plan["plan_generated"]
        profile, limit = (as_of(table[event["unit_id"]], event["timestamp"]) for table in (profiles, limits))
        meals = meals_of(event)
        share = limit["budget"] / len(meals)
        fitting = {key for key, recipe in recipes.items() if admissible(recipe, profile, limit, share)}
        assert {recipe for recipe, _ in meals.values()} <= fitting
        assert {servings for _, servings in meals.values()} == {profile["size"]}
        if "propensity" in event["context"]:
            assert event["context"]["propensity"] == pytest.approx(1 / len(fitting))
            checked += 1
        if "plan_accepted" in plan:
            final = meals_of(plan["plan_accepted"]).values()
            assert sum(recipes[key]["cost_per_serving"] * count for key, count in final) <= limit["budget"] + 1e-9
    assert checked > 50


def versions(world: World, name: str) -> dict[str, list[dict]]:
    found = defaultdict(list)
    for row in world.tables[name].to_pylist():
        found[row["household_id"]].append(row)
    return found


def as_of(rows: list[dict], moment) -> dict:
    visible = [row for row in rows if row["valid_from"] <= moment and row["recorded_at"] <= moment]
    return max(visible, key=lambda row: (row["valid_from"], row["recorded_at"]))


def admissible(recipe: dict, profile: dict, limit: dict, share: float) -> bool:
    contents = {*recipe["allergens"], *(item["name"] for item in msgspec.json.decode(recipe["ingredients"]))}
    return (
        set(profile["dietary_restrictions"]) <= set(recipe["diets"])
        and not contents & set(limit["excluded"])
        and recipe["prep_time_min"] <= limit["max_prep_time"]
        and recipe["cost_per_serving"] * profile["size"] <= share
    )


def test_some_changes_are_recorded_days_late_and_the_current_row_is_the_last_change(clean: World) -> None:
    changes = versions(clean, "public.household_versions")
    delays = [row["recorded_at"] - row["valid_from"] for rows in changes.values() for row in rows]
    assert max(delays) > timedelta(days=1)
    assert all(delay > timedelta() for delay in delays)
    for row in clean.tables["public.households"].to_pylist():
        newest = max(changes[row["id"]], key=lambda version: version["valid_from"])
        assert {key: newest[key] for key in ("size", "region")} == {key: row[key] for key in ("size", "region")}


def test_pantries_lose_what_was_cooked_and_gain_what_was_bought(clean: World) -> None:
    shown = defaultdict(list)
    for row in clean.tables["public.pantry_snapshots"].to_pylist():
        items = {item["name"]: item["quantity"] for item in msgspec.json.decode(row["items"])}
        shown[row["household_id"]].append((row["snapshot_time"], items))
    more = less = 0
    for rows in shown.values():
        rows.sort(key=lambda row: row[0])
        for (_, before), (_, after) in pairwise(rows):
            more += sum(after[name] > before.get(name, 0) for name in after)
            less += sum(before[name] > after.get(name, 0) for name in before)
    assert more > 1000
    assert less > 1000
