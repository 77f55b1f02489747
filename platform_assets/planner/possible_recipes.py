"""Which recipes may still be chosen, so that no recipe comes twice and the meals to come stay payable.

A recipe is possible when it and, beside it, the cheapest others for the meals after it stay within the budget. Sums are
exact until they are rounded once (`math.fsum`), as a plan's price is: so the recipes that proved one choice possible are
possible themselves at the next one, and no choice ends in a meal that nothing fits. What does not belong here: tokens and
grammars (`planner.constrained_answer`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from platform_assets.planner.plans import Constraints, Recipe, meal_price, within_budget

Priced = tuple[float, bytes]


@dataclass(frozen=True)
class PossibleRecipes:
    """The state of a choice; `unused` in ascending order of price, `spent` on the chosen ones, `to_come` meals."""

    unused: tuple[Priced, ...]
    constraints: Constraints
    to_come: int
    spent: tuple[float, ...] = ()

    @classmethod
    def of(cls, candidates: Iterable[Recipe], people: int, constraints: Constraints, meals: int) -> PossibleRecipes:
        """Before the first choice, for the number of meals that was announced."""
        priced = ((meal_price(recipe, people), recipe.id.encode()) for recipe in candidates)
        return cls(tuple(sorted(priced)), constraints, meals)

    @cached_property
    def prices(self) -> Mapping[bytes, float]:
        """Id -> price of every recipe that may be the next one."""
        return {recipe_id: price for price, recipe_id in self.unused[: self._payable]}

    @cached_property
    def ids(self) -> tuple[bytes, ...]:
        """The ids that may be next, in ascending order."""
        return tuple(sorted(self.prices))

    def after(self, recipe_id: bytes) -> PossibleRecipes:
        """The state once a possible recipe was chosen."""
        price = self.prices[recipe_id]
        at = self.unused.index((price, recipe_id))
        rest = self.unused[:at] + self.unused[at + 1 :]
        return PossibleRecipes(rest, self.constraints, self.to_come - 1, (*self.spent, price))

    @property
    def _payable(self) -> int:
        """How many of the unused, cheapest first, may be next."""
        others = self.to_come - 1
        if others < 0 or len(self.unused) <= others:
            return 0
        # The cheapest all make the same sum with one another, and a dearer one a greater sum with them: bisection finds the
        # last that is payable.
        end = bisect_left(self.unused, True, lo=others, key=lambda each: not self._fits(each, others))
        return end if end > others else 0

    def _fits(self, dearest: Priced, others: int) -> bool:
        companions = (price for price, _ in self.unused[:others])
        return within_budget(math.fsum((*self.spent, *companions, dearest[0])), self.constraints)
