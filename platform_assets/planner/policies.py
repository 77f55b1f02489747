"""What a policy is, and the one way to run one: it proposes, the validator serves. The same for replay and for serving.

What belongs here: the types and the two functions. What does not: policies themselves; those without a model stand in
`planner.baselines`, the language model in `planner.decoding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from platform_assets.planner.model_documents import BATCH_SIZE
from platform_assets.planner.plans import InputContext, Plan, Recipe, Request
from platform_assets.planner.validator import InfeasibleRequest, Intervention, validate

__all__ = [
    "InfeasibleRequest", "Intervention", "Planned", "Policy", "Proposal", "Request", "run_policies", "run_policy",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposal:
    """A policy's answer to one request.

    `raw` None: nothing could be read from it, for the reason `error`. `tokens` and `passes` are what it cost; they depend
    on the request alone, never on what else was in the batch, and are 0 without a model.
    """

    raw: Plan | None
    tokens: int = 0
    passes: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """What is served (`plan`), what was proposed (`raw`), what the validator changed between them, and what it cost."""

    plan: Plan
    raw: Plan | None
    interventions: tuple[Intervention, ...]
    tokens: int
    passes: int


class Policy(Protocol):
    """Whoever plans. Deterministic: the same request always gets the same proposal, alone or in a batch."""

    @property
    def name(self) -> str:
        """What it is called in results."""
        ...

    def propose(self, requests: Sequence[Request]) -> list[Proposal]:
        """One proposal per request, in their order."""
        ...


def run_policy(policy: Policy, input_context: InputContext, recipes: Mapping[str, Recipe]) -> Planned:
    """The plan that a policy serves to one household; raises InfeasibleRequest when there is none."""
    return next(run_policies(policy, [Request(input_context, recipes)], 1))


def run_policies(policy: Policy, requests: Iterable[Request], batch_size: int = BATCH_SIZE) -> Iterator[Planned]:
    """The plans that a policy serves, in the order of the requests, `batch_size` of them proposed at a time.

    Raises InfeasibleRequest at a request without any possible plan; `validator.infeasibility` finds those beforehand.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, it must be 1 or more")
    waiting = iter(requests)
    while batch := list(islice(waiting, batch_size)):
        proposals = policy.propose(batch)
        if len(proposals) != len(batch):
            raise RuntimeError(f"policy {policy.name} gave {len(proposals)} proposals for {len(batch)} requests")
        for request, proposal in zip(batch, proposals, strict=True):
            plan, interventions = validate(proposal.raw, request, proposal.error)
            yield Planned(plan, proposal.raw, interventions, proposal.tokens, proposal.passes)
