"""The demo of the world model: simulate a retailer, read every week, train on the last one's split, evaluate, judge.

Ordinary Dagster runs on the local instance, as the planner's demo, and the second part of `demo-all`. Where the retailer's
folder holds files, those of the demo or others, they are what is read. A second run finds all published, and says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from platform_assets.commands import changes, demo
from platform_assets.core import services
from platform_assets.core.lake import Address, Lake
from platform_assets.core.settings import SettingError, Settings

ROWS_A_WEEK, CUSTOMERS, PRODUCTS, STORES, SEED = 3_300, 400, 600, 8, 7
# A small world needs larger steps, and fewer, than years of baskets do.
TRAINING = {"epochs": 6, "learning_rate": 1e-3}
RANKERS = {"candidate": "model", "network": "network alone", "baseline": "tuned mixture", "ease": "EASE"}


def refuse_other_source(settings: Settings) -> None:
    """Raises SettingError where a retailer of somebody's own would be trained on with the demo's options."""
    if settings.retail_source != str(settings.home / "retail"):
        raise SettingError(
            "demo-all reads a small simulated retailer, and PLATFORM_RETAIL_SOURCE names files of yours; unset it, or "
            "materialise the jobs world_model_weeks, world_model_training and world_model_judgement in the UI"
        )


def run(settings: Settings) -> None:
    """From raw files to the verdict on one model."""
    from platform_assets.orchestration import partitions
    from platform_assets.world_model.assets import common, jobs
    from platform_assets.world_model.definitions import build

    weeks = partitions.retail_weekly(settings).get_partition_keys()
    last = common.known_weekly(settings).get_last_partition_key()
    if last is None:
        raise SettingError(
            f"the retail calendar has {len(weeks)} weeks and a split needs more: let PLATFORM_RETAIL_END be later"
        )
    simulate(Path(settings.retail_source), len(weeks))
    lake = services.open_lake(settings)
    before = changes.published(lake, _addresses(weeks, last))
    definitions = build(settings)
    demo.run_job(definitions, jobs.WEEKS, weeks[0], weeks[-1])
    demo.run_job(definitions, jobs.TRAINING, last, last, {"world_model__model": {"config": TRAINING}})
    demo.run_job(definitions, jobs.JUDGEMENT, last, last)
    _report(lake, last)
    after = changes.published(lake, _addresses(weeks, last))
    print(f"\n{changes.told_of('world_model', before, after)}")


def _addresses(weeks: Sequence[str], last: str) -> Iterator[Address]:
    from platform_assets.world_model.assets import common

    weekly = (common.TRANSACTIONS, common.QUARANTINED_TRANSACTIONS, common.BASKETS)
    of_split = (
        common.PRODUCT_EMBEDDINGS, common.CUSTOMER_FEATURES, common.STORE_FEATURES, common.PRICES, common.TENSOR_CACHE,
        common.MODEL, common.REPLAY_SCORES, common.POLICY_VERSION,
    )  # fmt: skip
    for assets, keys in ((weekly, weeks), (of_split, [last])):
        yield from (common.address(asset, key) for asset in assets for key in keys)


def simulate(folder: Path, weeks: int) -> None:
    """Write the demo's raw files, unless the folder holds some."""
    if folder.is_dir() and any(folder.iterdir()):
        print(f"{folder} holds a retailer's files already; none are simulated")
        return
    # Beside it first: a simulation that was killed must not look like a retailer that has few weeks.
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    started = time.monotonic()
    options = {
        "--output": unfinished, "--rows": ROWS_A_WEEK * weeks, "--weeks": weeks, "--customers": CUSTOMERS,
        "--products": PRODUCTS, "--stores": STORES, "--seed": SEED,
    }  # fmt: skip
    words = [*(str(word) for option in options.items() for word in option), "--replace"]
    subprocess.run([sys.executable, "-m", "platform_assets.simulators.retailer", *words], check=True)
    unfinished.replace(folder)
    print(f"retailer: simulated in {time.monotonic() - started:.0f} s", flush=True)


def _report(lake: Lake, week: str) -> None:
    from platform_assets.core.verdict_text import comparison_lines
    from platform_assets.world_model.assets import common

    verdict, scores = (lake.current(common.address(key, week)) for key in (common.POLICY_VERSION, common.REPLAY_SCORES))
    if verdict is None or scores is None:
        print(f"\nsplit that ends with {week}: not judged")
        return
    document = json.loads(lake.read_side(verdict, "verdict.json"))
    print(
        f"\nsplit that ends with {week}: version {verdict.lineage.details['candidate']['version']} of world_model_policy "
        f"against the tuned mixture: {document['outcome']}; {document['label']}"
    )
    for line in (*comparison_lines(document), "", *ranker_lines(scores.lineage.details["summary"]["rankers"])):
        print(line)


def ranker_lines(rankers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Markdown: how each ranker places the hidden product of a test basket, the best first."""
    lines = [
        "| a hidden product of a test basket, ranked by | hit@1 | hit@5 | hit@10 | MRR |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, found in sorted(rankers.items(), key=lambda pair: -pair[1]["hit_at_10"]):
        numbers = (found[metric] for metric in ("hit_at_1", "hit_at_5", "hit_at_10", "reciprocal_rank"))
        called = RANKERS.get(name, name.replace("_", " "))
        lines.append(f"| {called} | {' | '.join(f'{number:.4f}' for number in numbers)} |")
    return lines
