"""The weeks of a group of households: who plans when, what is drawn, decided, edited, bought and cooked.

The outcome is columns (`Plans`) and the pantries; turning them into events is `events`. All households of a group move
through a week together, as arrays.
Legend: N plans, n plans of one attempt, 7 days, R recipes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from platform_assets.simulators.meal_app import behaviour, policy
from platform_assets.simulators.meal_app.catalogue import Catalogue
from platform_assets.simulators.meal_app.households import Population
from platform_assets.simulators.meal_app.pantry import AFTER_SHOPPING_SHARE, BEFORE_PLAN_SHARE, Pantries
from platform_assets.simulators.meal_app.scenario import DAY, HOUR, MINUTE, WEEK, Scenario

PLANS_SHARE, RETRY_SHARE, EXTRA_SHARE = 0.97, 0.8, 0.15
FIRST_EAGERNESS, RETRY_EAGERNESS = 1.0, 1.6
FORGETS = 0.5
UNSEEN_WEEKS, KNOWN_WEEKS = 1, 1  # before the start: lived, and photographed


@dataclass(frozen=True)
class Plans:
    """N plans. Moments are microseconds since 1970; recipes and servings are (N, 7) by day, -1 and 0 where no meal is."""

    household: np.ndarray
    generated_at: np.ndarray
    recipes: np.ndarray
    servings: np.ndarray
    admissible_count: np.ndarray
    randomised: np.ndarray
    outcome: np.ndarray
    decided_at: np.ndarray
    final_recipes: np.ndarray
    final_servings: np.ndarray
    edits: np.ndarray

    def __len__(self) -> int:
        return len(self.household)

    @classmethod
    def concatenate(cls, parts: list[Plans]) -> Plans:
        """All plans of the parts, in order."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


class Diary:
    """Simulates one group of households, week by week."""

    def __init__(
        self, rng: np.random.Generator, scenario: Scenario, catalogue: Catalogue, popularity: np.ndarray,
        people: Population,
    ) -> None:  # fmt: skip
        self.rng, self.scenario, self.catalogue = rng, scenario, catalogue
        self.popularity, self.people = popularity, people
        self.pantries = Pantries.draw(rng, len(people))
        self._planned_lately = np.zeros((len(people), len(catalogue)), np.float32)

    def live(self) -> Plans:
        """All weeks; afterwards `pantries` holds every snapshot.

        Some weeks pass unseen first: pantries and habits that still settle would be a drift that the world does not have.
        """
        lived = []
        for week in range(-UNSEEN_WEEKS, self.scenario.weeks):
            if week == -KNOWN_WEEKS:
                self._open_app(week)
            parts = self._live_week(week)
            lived += parts if week >= 0 else []
        return Plans.concatenate(lived)

    def _open_app(self, week: int) -> None:
        """Everybody's first snapshot; what was photographed earlier is not of this app."""
        everyone = np.arange(len(self.people))
        self.pantries.snapshots.clear()
        moments = self.scenario.start_us + week * WEEK - self.rng.integers(HOUR, 3 * DAY, len(everyone))
        self.pantries.photograph(everyone, moments)

    def _live_week(self, week: int) -> list[Plans]:
        """The week's main plan, a second try after a rejection, and now and then an extra small plan."""
        self._planned_lately *= FORGETS
        self.pantries.cook_and_spoil(self.rng)
        rows, moments = self._draw_moments(week)
        chosen = self.rng.random(len(rows)) < BEFORE_PLAN_SHARE
        before = moments - self.rng.integers(30 * MINUTE, 18 * HOUR, len(rows))
        self.pantries.photograph(rows[chosen], before[chosen])
        main = self._attempt(rows, moments, self.people.meals[rows], FIRST_EAGERNESS)
        parts = [main, self._try_again(main), self._plan_extra(main)]
        self._take_stock(main)
        return parts

    def _draw_moments(self, week: int) -> tuple[np.ndarray, np.ndarray]:
        """Who plans this week, and when: near the household's usual time, never a day off it."""
        count = len(self.people)
        jitter = np.clip(self.rng.normal(0, 4 * HOUR, count), -10 * HOUR, 10 * HOUR).astype(np.int64)
        moments = self.scenario.start_us + week * WEEK + self.people.phase + jitter
        first = self.scenario.start_us + min(week, 0) * WEEK
        plans = (self.rng.random(count) < PLANS_SHARE) & (moments >= first)
        rows = np.nonzero(plans & (moments < self.scenario.end_us))[0]
        return rows, moments[rows]

    def _try_again(self, main: Plans) -> Plans:
        again = (main.outcome == behaviour.REJECTED) & (self.rng.random(len(main)) < RETRY_SHARE)
        moments = main.decided_at[again] + self.rng.integers(MINUTE, 20 * MINUTE, int(again.sum()))
        return self._attempt(main.household[again], moments, self.people.meals[main.household[again]], RETRY_EAGERNESS)

    def _plan_extra(self, main: Plans) -> Plans:
        extra = self.rng.random(len(main)) < EXTRA_SHARE
        moments = main.generated_at[extra] + self.rng.integers(2 * DAY, 4 * DAY, int(extra.sum()))
        return self._attempt(
            main.household[extra], moments, np.full(len(moments), policy.FEWEST_MEALS), FIRST_EAGERNESS
        )

    def _attempt(self, rows: np.ndarray, moments: np.ndarray, meals: np.ndarray, eagerness: float) -> Plans:
        """Plans drawn for households `rows` and what they did with them; nothing happens at or after the end."""
        in_time = moments < self.scenario.end_us
        rows, moments, meals = rows[in_time], moments[in_time], meals[in_time]
        preference = self.popularity - policy.ROTATION * self._planned_lately[rows]
        drafts = policy.draw_plans(
            self.rng, self.catalogue, self.people, preference, rows, moments, meals, self.scenario.randomised_share
        )
        moments = moments[np.isin(rows, drafts.rows)]
        plan, day = np.nonzero(drafts.recipes >= 0)
        self._planned_lately[drafts.rows[plan], drafts.recipes[plan, day]] += 1
        utility = self.people.utility[drafts.rows]
        outcome = behaviour.decide(self.rng, utility, drafts, eagerness)
        kind = np.where(moments + outcome.delay < self.scenario.end_us, outcome.kind, behaviour.IGNORED)
        edited = self._edit(drafts, utility, kind == behaviour.ACCEPTED)
        plans = Plans(
            drafts.rows, moments, drafts.recipes, drafts.servings, drafts.admissible_count, drafts.randomised,
            kind, moments + outcome.delay, edited.recipes, edited.servings, edited.edits,
        )  # fmt: skip
        self._shop(plans)
        return plans

    def _edit(self, drafts: policy.Drafts, utility: np.ndarray, accepted: np.ndarray) -> behaviour.Edited:
        """All plans as they end up: those accepted after their edits, the others as they were drawn."""
        chosen = drafts.take(accepted)
        stock, mode = self.pantries.stock[chosen.rows], self.people.mode[chosen.rows]
        edited = behaviour.edit(self.rng, self.catalogue, utility[accepted], stock, chosen, mode)
        recipes, servings, edits = (
            drafts.recipes.copy(),
            drafts.servings.copy(),
            np.zeros(drafts.recipes.shape, np.int8),
        )
        recipes[accepted], servings[accepted], edits[accepted] = edited.recipes, edited.servings, edited.edits
        return behaviour.Edited(recipes, servings, edits)

    def _shop(self, plans: Plans) -> None:
        bought = plans.outcome == behaviour.ACCEPTED
        self.pantries.shop(
            self.catalogue, plans.household[bought], plans.final_recipes[bought], plans.final_servings[bought]
        )

    def _take_stock(self, main: Plans) -> None:
        """Some photograph the full pantry in the days after they shopped, with part of the week already eaten."""
        shown = (main.outcome == behaviour.ACCEPTED) & (self.rng.random(len(main)) < AFTER_SHOPPING_SHARE)
        after = self.rng.integers(HOUR, 30 * HOUR, int(shown.sum()))
        self.pantries.photograph(main.household[shown], main.decided_at[shown] + after, cooked=0.4)
