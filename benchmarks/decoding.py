"""Decoding: 300 weekly plans by the planner's batched decoding, against one `generate` a plan.

Both run the same Llama of the tiny model's size (random weights: what is said costs the same) with the same grammar and the
same mask against repetitions and broken budgets, on one thread, and must make the same plans. The peer samples every token by
a forward pass of its own, also those that the grammar forces, as a logits processor does; ours batches, reads what is forced
along with the decision before it, reads the prompts' common beginning once, and the rest of a prompt only as far as its keys
and values. Which recipes are admissible is found before the clock starts, for both. The longer the prompts, the more of the
time is their reading, which batches shorten least.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import BenchmarkError, in_own_process, median_peak, median_rate, rate_ratio, take_turns
from benchmarks.table import Line

ROWS, RUNS, TARGET = 300, 3, 5.0
SHOWN = (
    0,
    32,
    160,
)  # candidates in the prompt: none, as the tiny model is asked; a short list; all of most households'
REQUESTS, MODEL = "requests.json", "model"


def run(folder: Path) -> list[Line]:
    """One line a prompt length."""
    write_requests(folder)
    write_model(folder)
    return [_compare(folder, shown) for shown in SHOWN]


def _compare(folder: Path, shown: int) -> Line:
    works = (batched, one_by_one)
    ours, theirs = take_turns(
        *(partial(in_own_process, work, folder=str(folder), shown=shown) for work in works), runs=RUNS
    )
    plans, expected = (json.loads((folder / f"{work.__name__}.json").read_text()) for work in works)
    if plans != expected or len(plans) != ROWS:
        differing = sum(one != other for one, other in zip(plans, expected, strict=True))
        raise BenchmarkError(f"decoding: {differing} of {len(plans)} plans differ from generate's")
    ratio = rate_ratio(ours, theirs)
    return Line(
        f"decoding: {ROWS} plans, {shown or 'no'} candidates shown",
        f"{median_rate(ours):,.1f} rows/s",
        f"{median_rate(theirs):,.1f} rows/s (generate, one by one)",
        f"{ratio:.1f}x",
        f"{median_peak(ours):,.0f} / {median_peak(theirs):,.0f}",
        f">= {TARGET:g}x",
        ratio >= TARGET,
    )


def batched(folder: str, shown: int) -> Callable[[], int]:
    """Ours."""
    planner, requests = _load(Path(folder), shown)

    def work() -> int:
        return _write(Path(folder) / "batched.json", [proposal.raw for proposal in planner.propose(requests)])

    return work


def one_by_one(folder: str, shown: int) -> Callable[[], int]:
    """The peer: model.generate with a logits processor."""
    import torch
    from transformers import LogitsProcessorList

    from platform_assets.planner import language_model, prompt
    from platform_assets.planner.constrained_answer import Answers
    from platform_assets.planner.plans import Plan, Request, most_meals

    planner, requests = _load(Path(folder), shown)
    answers = Answers(planner.tokenizer)

    def answer(request: Request) -> Plan:
        candidates = prompt.shown_candidates(request.context, request.candidates, planner.form)
        text = prompt.render(request.context, candidates, planner.form)
        asked = torch.tensor([language_model.prompt_ids(planner.tokenizer, text)])
        held = answers.begin(request, most_meals(request.candidates, request.context))
        planner.model.generate(
            asked, attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=64,
            logits_processor=LogitsProcessorList([_Holding(held, asked.shape[1], planner.tokenizer.eos_token_id)]),
        )  # fmt: skip
        return prompt.parse(held.text, request.context)

    return lambda: _write(Path(folder) / "one_by_one.json", [answer(request) for request in requests])


class _Holding:
    """A logits processor that leaves what the answer allows."""

    def __init__(self, answer: Any, asked: int, end: int) -> None:
        self.answer, self.asked, self.end = answer, asked, end

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        if input_ids.shape[1] > self.asked:
            self.answer.say(int(input_ids[0, -1]))
        allowed = [self.end] if self.answer.done else list(self.answer.allowed())
        held = torch.full_like(scores, -torch.inf)
        held[0, allowed] = scores[0, allowed]
        return held


def _load(folder: Path, shown: int) -> tuple[Any, list[Any]]:
    import torch

    from platform_assets.planner.decoding import LanguageModelPlanner
    from platform_assets.planner.language_model import load_base
    from platform_assets.planner.plan_documents import read_context, read_recipe
    from platform_assets.planner.plans import Request
    from platform_assets.planner.prompt import PromptFormat

    torch.set_num_threads(1)
    document = json.loads((folder / REQUESTS).read_text())
    recipes = {row["id"]: read_recipe(row) for row in document["recipes"]}
    requests = [Request(read_context(row), recipes) for row in document["inputs"]]
    if not all(request.candidates for request in requests):
        raise BenchmarkError("decoding: a household of the simulated world has nothing to eat")
    return LanguageModelPlanner(*load_base(folder / MODEL), PromptFormat(max_candidates=shown)), requests


def _write(path: Path, plans: list[Any]) -> int:
    path.write_text(json.dumps([plan and plan.document() for plan in plans]))
    return len(plans)


def write_model(folder: Path) -> None:
    """A base folder of the tiny model's shape."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from platform_assets.planner.plan_documents import read_recipe
    from platform_assets.planner.tiny_tokenizer import build_tokenizer

    recipes = [read_recipe(row) for row in json.loads((folder / REQUESTS).read_text())["recipes"]]
    tokenizer = build_tokenizer({recipe.id: recipe for recipe in recipes})
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=352, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=1024, initializer_range=0.08, tie_word_embeddings=True,
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "eos", "bos")},
    )  # fmt: skip
    tokenizer.save_pretrained(folder / MODEL)
    LlamaForCausalLM(config).save_pretrained(folder / MODEL)
    base = {"model_base": "tiny", "revision": "", "kind": "files", "digest": "", "dtype": "float32", "parameters": {}}
    (folder / MODEL / "base.json").write_text(json.dumps(base))


def write_requests(folder: Path) -> None:
    """What ROWS households of a simulated world would ask after their last accepted plan."""
    from platform_assets.simulators.meal_app.scenario import Faults, Scenario
    from platform_assets.simulators.meal_app.world import simulate

    world = simulate(Scenario(seed=7, households=ROWS + 100, start=date(2026, 1, 2), weeks=4, faults=Faults.none()))
    tables = {name.split(".")[1]: table.to_pylist() for name, table in world.tables.items()}
    constraints = {row["household_id"]: row for row in tables["household_constraints"]}
    pantry = {row["household_id"]: json.loads(row["items"]) for row in tables["pantry_snapshots"]}
    asked: dict[str, list[dict[str, Any]]] = {}
    for event in sorted(tables["events"], key=lambda event: event["timestamp"]):
        if event["event_type"] == "plan_accepted":
            asked.setdefault(event["unit_id"], []).insert(0, event)
    inputs = [
        _input(row, constraints[row["id"]], pantry.get(row["id"], []), asked[row["id"]])
        for row in tables["households"]
        if row["id"] in asked
    ]
    recipes = {row["id"]: row | {"ingredients": json.loads(row["ingredients"])} for row in tables["recipes"]}
    document = {"recipes": list(recipes.values()), "inputs": inputs[:ROWS]}
    (folder / REQUESTS).write_text(json.dumps(document, default=str))


def _input(
    household: dict[str, Any], constraints: dict[str, Any], pantry: list[Any], accepted: list[dict[str, Any]]
) -> dict[str, Any]:
    context = json.loads(accepted[0]["context"])
    plans = [json.loads(event["payload"])["plan"] for event in accepted[:4]]
    return {
        "household": household | {"restrictions": household["dietary_restrictions"]},
        "pantry": {"items": pantry},
        "constraints": constraints | {"excluded_ingredients": constraints["excluded"]},
        "workflow_type": context["workflow_type"],
        "mode": context["mode"],
        "previous_plan": plans[0],
        "recent_plans": plans,
    }
