"""What the tests of the simulated retailer share: rows of a scenario, read back from the files it writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.simulators.retailer import Scenario, World, check, draw_world, write_weeks


def write(scenario: Scenario, folder: Path, format: str = "parquet", **options: int) -> World:
    world = draw_world(scenario)
    check(world, folder, format, replace=False)
    for _ in write_weeks(world, folder, format, **options):
        pass
    return world


def read(folder: Path) -> pa.Table:
    tables = [pq.read_table(path) for path in sorted(folder.glob("transactions_*.parquet"))]
    return pa.concat_tables(tables).unify_dictionaries()


def frame(scenario: Scenario, folder: Path) -> tuple[World, pd.DataFrame]:
    world = write(scenario, folder)
    return world, read(folder).to_pandas()
