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
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platform_assets.core.compared import NotRegistered
from platform_assets.core.replay_record import EXPERIMENT, table
from platform_assets.core.tracking import DatasetReference
from platform_assets.planner import judgement, replay_record
from platform_assets.planner.model_documents import BATCH_SIZE, DTYPES, ModelError
from platform_assets.planner.plans import PlanError
from platform_assets.planner.policies import Policy, run_policies
from platform_assets.planner.replay_inputs import Inputs, Side, resolve
from platform_assets.planner.replay_rows import LeakError, ReplayRow, Selection, select
from platform_assets.planner.scoring import Scorer
from platform_assets.training.program import say, say_by_hand

SCORES, SUMMARY = "replay_scores.parquet", "replay_summary.json"
SAY_EVERY_SECONDS = 10.0


def replay(candidate: Side, baseline: Side, selection: Selection, batch_size: int, target: Path) -> dict[str, Any]:
    """Run both policies over the rows and write replay_scores.parquet; returns the counts for the summary."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: list[dict[str, Any]] = [_row_columns(row) for row in selection.rows]
    decoding: dict[str, Mapping[str, Any]] = {}
    for name, side in (("candidate", candidate), ("baseline", baseline)):
        policy = side.load(batch_size)
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
    from platform_assets.planner.training_rows import TrainingRowsError
    from platform_assets.training import program
    from platform_assets.training.errors import OutOfMemory

    options = _parser().parse_args(arguments)
    expected = (
        ModelError, NotRegistered, PlanError, LeakError, TrainingRowsError, OutOfMemory, FileNotFoundError,
    )  # fmt: skip
    return program.run(lambda: _run(options), expected)


def _run(options: argparse.Namespace) -> Mapping[str, Any]:
    from platform_assets.planner.catalogue import Catalogue
    from platform_assets.training.memory import explained_memory

    _check(options)
    options.output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="replay-") as scratch:
        inputs = resolve(options, Path(scratch))
        # Of both: a baseline that remembers the rows would reject an honest candidate.
        seen = inputs.candidate.seen() | inputs.baseline.seen()
        propensities = read_propensities(options.logged)
        catalogue = Catalogue.read(inputs.recipes)
        files = [dataset.path for dataset in inputs.datasets]
        selection = select(files, catalogue, seen, propensities, options.sample_size)
        with explained_memory("in the replay", "use a smaller --batch_size, --device cpu, or a smaller base model"):
            counts = replay(inputs.candidate, inputs.baseline, selection, options.batch_size, options.output / SCORES)
    sides = {"candidate_version": inputs.candidate.version, "baseline_version": inputs.baseline.version}
    summary = {**counts, **sides, "sample_size": options.sample_size, "batch_size": options.batch_size}
    (options.output / SUMMARY).write_text(json.dumps(summary, indent=2, sort_keys=True), encoding="utf-8")
    means = judgement.means(options.output / SCORES)
    say(table(means))
    say_by_hand(f"scores of every row: {options.output / SCORES}")
    if options.record:
        _record(inputs, options.output, means, summary)
    return summary


def _record(inputs: Inputs, output: Path, means: Mapping[str, Mapping[str, float]], summary: Mapping[str, Any]) -> None:
    """Keep the means in MLflow and in exp.offline_replay_results, as the asset does; once for the same scores."""
    from platform_assets.core import services
    from platform_assets.core.digest import digest_table
    from platform_assets.core.settings import Settings

    settings = Settings.from_environment()
    tracking, warehouse = services.open_tracking(settings), services.open_warehouse(settings)
    version, digests = (",".join(values) for values in zip(*((d.name, d.digest) for d in inputs.datasets), strict=True))
    where = ",".join(str(each.path) for each in inputs.datasets)
    dataset = DatasetReference(f"planner/{version}", digests, where, summary["rows"])
    digest = digest_table([output / SCORES]).digest
    recorded = replay_record.Recorded(inputs.compared, version, dataset, digest, means, summary)
    run = tracking.finished_run(EXPERIMENT, recorded.tags())
    if run is None:
        with tracking.run(EXPERIMENT, f"replay {version}", recorded.tags()) as run:
            recorded.log(run, output)
    recorded.write(warehouse, run.run_id)
    say(f"recorded in MLflow (experiment {EXPERIMENT}) and in exp.offline_replay_results; judged is only the asset's")


def _check(options: argparse.Namespace) -> None:
    if options.sample_size < 0 or options.batch_size < 1:
        raise PlanError("--sample_size is 0 (all rows) or more, --batch_size 1 or more")
    if options.record and options.sample_size:
        raise PlanError("--record keeps the means of all rows: leave --sample_size out")


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
    parser.add_argument(
        "--record", action="store_true", help="keep the means in MLflow and in exp.offline_replay_results"
    )
    parser.add_argument("--output", type=Path, default=Path("replay"), help="folder for scores and summary")
    return parser


if __name__ == "__main__":
    sys.exit(main())
