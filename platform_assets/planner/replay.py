"""Offline replay: a candidate and a baseline plan the same accepted weeks again, and every row of both is scored.

    python -m platform_assets.planner.replay --model_name planner_model --model_version 3 --dataset datasets/planner/2026-02-20 \\
        --recipes recipes.parquet [--baseline_version 0] [--sample_size 500] [--device cpu] [--dtype float32] [--output FOLDER]

Rows are those of the evaluated weeks, none seen by base or adapter; both policies run as they are served, validator
included. Deterministic: a pinned model, dataset, device, dtype and batch size give the same bytes again; the summary holds
them as they were. What the scores decide is `planner.judgement`'s.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platform_assets.planner.model_documents import BATCH_SIZE, DTYPES
from platform_assets.planner.policies import Policy, run_policies
from platform_assets.planner.replay_rows import LeakError, ReplayRow, Seen, Selection, select
from platform_assets.planner.scoring import Scorer

SCORES, SUMMARY = "replay_scores.parquet", "replay_summary.json"
SAY_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class Side:
    """One of the two policies: its model's folder, or none for the heuristic planner."""

    version: str
    """Of the policy, as exp.policy_versions counts."""
    folder: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    """Where a model decodes; none is CUDA where there is some."""
    dtype: str | None = None
    """Of a model's weights; none is what its planner.json says."""

    def load(self) -> Policy:
        """The policy as it is served."""
        from platform_assets.planner.baselines import HeuristicPlanner, HeuristicWeights
        from platform_assets.planner.decoding import load_policy

        if self.folder:
            return load_policy(self.folder, self.device, dtype=self.dtype)
        weights = {each.name: self.config[each.name] for each in fields(HeuristicWeights) if each.name in self.config}
        return HeuristicPlanner(HeuristicWeights(**weights))

    def seen(self) -> Seen:
        """What its model was trained on."""
        from platform_assets.planner.training_rows import ROWS_FILE

        return Seen.read(self.folder / ROWS_FILE) if self.folder else Seen()


def replay(candidate: Side, baseline: Side, selection: Selection, batch_size: int, target: Path) -> dict[str, Any]:
    """Run both policies over the rows and write replay_scores.parquet; returns the counts for the summary."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: list[dict[str, Any]] = [_row_columns(row) for row in selection.rows]
    decoding: dict[str, Mapping[str, Any]] = {}
    for name, side in (("candidate", candidate), ("baseline", baseline)):
        policy = side.load()
        decoding[name] = _decoding(policy)
        for row, scored in zip(columns, _scored(name, policy, selection.rows, batch_size), strict=True):
            row.update({f"{name}_{column}": value for column, value in scored.items()})
    # A metric that is undefined on every row is a column of numbers all the same.
    table = pa.Table.from_pylist(columns)
    kinds = [field.with_type(pa.float64()) if pa.types.is_null(field.type) else field for field in table.schema]
    pq.write_table(table.cast(pa.schema(kinds)), target)
    return {
        "rows": len(columns),
        "households": len({row.household_id for row in selection.rows}),
        "excluded": dict(sorted(selection.excluded.items())),
        "targets_outside_candidates": selection.targets_outside_candidates,
        "randomised_rows": sum(row.randomised for row in selection.rows),
        "unseen_household_rows": sum(not row.seen for row in selection.rows),
        "decoding": decoding,
        **{name: decoding["candidate"].get(name, "") for name in ("device", "dtype", "quantization")},
    }


def _decoding(policy: Policy) -> Mapping[str, Any]:
    """On what, and in which numbers, a model decoded; of a policy without a model nothing."""
    from platform_assets.planner.decoding import LanguageModelPlanner

    return policy.settings if isinstance(policy, LanguageModelPlanner) else {}


def _scored(name: str, policy: Policy, rows: Sequence[ReplayRow], batch_size: int) -> Iterator[dict[str, Any]]:
    from platform_assets.training.program import say

    scorer, started = Scorer(), time.monotonic()
    told = started
    planned = run_policies(policy, (row.request for row in rows), batch_size)
    for count, (row, served) in enumerate(zip(rows, planned, strict=True), 1):
        plan = json.dumps(served.plan.document(), separators=(",", ":"))
        yield {"plan": plan, **scorer.score_row(served, row.request, row.target).columns()}
        now = time.monotonic()
        if now - told > SAY_EVERY_SECONDS or count == len(rows):
            told = now
            say(f"{name} ({policy.name}): {count:,} of {len(rows):,} rows, {count / (now - started):.0f} rows/s")


def _row_columns(row: ReplayRow) -> dict[str, Any]:
    return {
        "plan_id": row.plan_id, "household_id": row.household_id, "logged_by": row.logged_by,
        "randomised": row.randomised, **{f"slice_{name}": value for name, value in row.slices().items()},
    }  # fmt: skip


def read_propensities(files: Iterable[Path]) -> dict[str, float]:
    """plan_id -> propensity of the plans drawn at random, from enriched plans."""
    import pyarrow.parquet as pq

    tables = [pq.read_table(path, columns=["plan_id", "propensity"]) for path in files]
    return {
        plan: propensity
        for table in tables
        for plan, propensity in zip(table["plan_id"].to_pylist(), table["propensity"].to_pylist(), strict=True)
        if propensity is not None
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.planner.language_model import ModelError
    from platform_assets.planner.plans import PlanError
    from platform_assets.training import program

    options = _parser().parse_args(arguments)
    return program.run(lambda: _run(options), (ModelError, PlanError, LeakError, FileNotFoundError))


def _run(options: argparse.Namespace) -> Mapping[str, Any]:
    from platform_assets.planner import replay_inputs
    from platform_assets.planner.catalogue import Catalogue

    options.output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="replay-") as scratch:
        inputs = replay_inputs.resolve(options, Path(scratch))
        # Of both: a baseline that remembers the rows would reject an honest candidate.
        seen = inputs.candidate.seen() | inputs.baseline.seen()
        propensities = read_propensities(options.logged)
        catalogue = Catalogue.read(inputs.recipes)
        selection = select(inputs.datasets, catalogue, seen, propensities, options.sample_size)
        counts = replay(inputs.candidate, inputs.baseline, selection, options.batch_size, options.output / SCORES)
    sides = {"candidate_version": inputs.candidate.version, "baseline_version": inputs.baseline.version}
    summary = {**counts, **sides, "sample_size": options.sample_size, "batch_size": options.batch_size}
    (options.output / SUMMARY).write_text(json.dumps(summary, indent=2, sort_keys=True), encoding="utf-8")
    return summary


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m platform_assets.planner.replay")
    parser.add_argument("--model_name", default="planner_model", help="the registered model")
    parser.add_argument("--model_version", required=True, help="its version in MLflow")
    parser.add_argument(
        "--dataset", type=Path, action="append", required=True, help="folder or training.parquet; repeat for more weeks"
    )
    parser.add_argument(
        "--baseline_version", type=int, default=None, help="version of planner_policy; the active one when left out"
    )
    parser.add_argument(
        "--recipes",
        type=Path,
        help="recipes.parquet of the evaluated week, or its folder in the lake; the model's own when left out",
    )
    parser.add_argument(
        "--logged", type=Path, action="append", default=[], help="enriched_plans.parquet, for the plans drawn at random"
    )
    parser.add_argument("--sample_size", type=int, default=0, help="replay only so many rows; 0 is all")
    parser.add_argument("--batch_size", type=int, default=BATCH_SIZE, help="rows planned at a time")
    parser.add_argument("--device", help="cpu or cuda; CUDA where there is some when left out")
    parser.add_argument(
        "--dtype", choices=DTYPES, help="of the weights; what the model's planner.json says when left out"
    )
    parser.add_argument("--output", type=Path, default=Path("replay"), help="folder for scores and summary")
    return parser


if __name__ == "__main__":
    sys.exit(main())
