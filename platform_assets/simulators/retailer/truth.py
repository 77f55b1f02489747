"""The ground truth: the scenario, every latent quantity as an array, each basket's mission, and each planted row.

    truth.json            the scenario, names of missions and classes, rows by week, planted rows by reason
    products_*.npy        one array per field of Catalogue, and codes; prices_*.npy (weeks, products) in cents
    stores_*.npy, customers_*.npy
    baskets.parquet       basket_id, mission and price class of every basket of the written weeks
    planted_rows.parquet  one row per planted fault: shop_week, basket_id, prod_code, store_code, reason

What does not belong here: planting. Nothing of this is in the transactions; a model or a pipeline is judged against it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.simulators.retailer.demand import CLASSES, MISSIONS
from platform_assets.simulators.retailer.faults import PLANTED_SCHEMA
from platform_assets.simulators.retailer.shop_weeks import ShopWeek
from platform_assets.simulators.retailer.world import Block, World

TRUTH_FILE, BASKETS_FILE, PLANTED_FILE = "truth.json", "baskets.parquet", "planted_rows.parquet"
_BASKETS_SCHEMA = pa.schema([("basket_id", pa.int64()), ("mission", pa.int8()), ("price_class", pa.int8())])


class TruthFiles:
    """Writes the truth into a folder, baskets and planted rows batch by batch; `truth.json` comes last."""

    def __init__(self, folder: Path, world: World) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TRUTH_FILE).unlink(missing_ok=True)
        self._folder, self._world = folder, world
        self._reasons: Counter[str] = Counter()
        self._baskets = pq.ParquetWriter(folder / BASKETS_FILE, _BASKETS_SCHEMA)
        self._planted = pq.ParquetWriter(folder / PLANTED_FILE, PLANTED_SCHEMA)

    def __enter__(self) -> TruthFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self._baskets.close()
        self._planted.close()

    def observe(self, blocks: Sequence[Block], planted: pa.Table) -> None:
        """Take note of one written batch."""
        for baskets in (block.baskets for block in blocks):
            columns = [baskets.number, baskets.mission.astype(np.int8), baskets.price_class.astype(np.int8)]
            self._baskets.write_table(pa.table([pa.array(column) for column in columns], schema=_BASKETS_SCHEMA))
        if planted.num_rows:
            self._planted.write_table(planted)
            self._reasons.update(planted["reason"].to_pylist())

    def finish(self, written: Sequence[tuple[ShopWeek, int]]) -> None:
        """Write what stands still, and the counts."""
        world = self._world
        holders = {"products": world.catalogue, "stores": world.stores, "customers": world.customers}
        for kind, holder in holders.items():
            self._save_fields(kind, holder)
            self._save(f"{kind}_codes", np.array(holder.codes))
        self._save_fields("prices", world.prices)
        facts = {
            "scenario": asdict(self._world.scenario),
            "missions": MISSIONS,
            "price_classes": CLASSES,
            "rows_by_week": {str(week.name): rows for week, rows in written},
            "missing_weeks": list(self._world.scenario.missing_weeks),
            "planted_rows": dict(sorted(self._reasons.items())),
        }
        (self._folder / TRUTH_FILE).write_text(json.dumps(facts, indent=1) + "\n")

    def _save_fields(self, kind: str, holder: object) -> None:
        for each in fields(holder):  # pyright: ignore[reportArgumentType]
            self._save(f"{kind}_{each.name}", getattr(holder, each.name))

    def _save(self, name: str, values: np.ndarray) -> None:
        np.save(self._folder / f"{name}.npy", values, allow_pickle=False)
