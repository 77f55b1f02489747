"""Files: time.csv and one file a fiscal week, Parquet or CSV, each complete or not there at all.

What does not belong here: what the rows are. Parquet keeps codes dictionary-encoded, which is most of the speed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from platform_assets.simulators.retailer.faults import PLANTED_SCHEMA, plan_faults
from platform_assets.simulators.retailer.lines import BLOCK_LINES
from platform_assets.simulators.retailer.rows import Rows, Schema, expand
from platform_assets.simulators.retailer.scenario import FORMATS, SimulatorError
from platform_assets.simulators.retailer.shop_weeks import CALENDAR_FILE, ShopWeek, write_calendar
from platform_assets.simulators.retailer.world import Block, World

# Text is about ten times as large and as slow; nobody wants 22 GB of it.
MOST_CSV_ROWS = 22_000_000
BATCH_ROWS = 2 * BLOCK_LINES
PREFIX = "transactions_"
_UNREADABLE = "n/a"
# All else repeats enough for a dictionary.
_PLAIN = ("BASKET_ID",)
# What readers prune by. Statistics of every column would take as long as all the rest of writing.
_STATISTICS = ["SHOP_WEEK", "SHOP_DATE"]

Observer = Callable[[list[Block], pa.Table], None]
"""Is shown every batch: its blocks, and a record of what was planted in it."""


def check(world: World, folder: Path, format: str, replace: bool) -> None:
    """Raises SimulatorError where `write_weeks` would refuse, and empties the folder of earlier weeks if asked to."""
    if format not in FORMATS:
        raise SimulatorError(f"format is {format!r}; choose one of {', '.join(FORMATS)}")
    if format == "csv" and world.scenario.rows > MOST_CSV_ROWS:
        raise SimulatorError(
            f"{world.scenario.rows:,} rows are too many for CSV, which is written up to {MOST_CSV_ROWS:,}; "
            "use --format parquet"
        )
    earlier = [path for path in (*folder.glob(f"{PREFIX}*"), folder / CALENDAR_FILE) if path.exists()]
    if earlier and not replace:
        raise SimulatorError(f"{folder} already holds {earlier[0].name}; choose an empty folder, or use --replace")
    for path in earlier:
        path.unlink()


def write_weeks(
    world: World, folder: Path, format: str = "parquet", batch_rows: int = BATCH_ROWS, observe: Observer | None = None
) -> Iterator[tuple[ShopWeek, int]]:
    """Write the calendar and every week; yields each written week with its rows. Call `check` first.

    `batch_rows` is how many rows are handed to the file at a time, in whole blocks: it bounds memory and changes no row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_calendar(folder, world.weeks)
    schema = Schema(world)
    plan = plan_faults(world, schema, text=format == "csv")
    faulty, first = len(plan.positions) > 0, 0
    for week in world.written_weeks:
        with _whole_file(folder / f"{PREFIX}{week.name}.{format}") as path, _WeekFile(path, format) as file:
            for blocks in _batches(world.blocks(week), batch_rows):
                rows = expand(week, blocks)
                planted = plan.plant(rows, first) if faulty else PLANTED_SCHEMA.empty_table()
                file.write(schema.table(rows), rows)
                first += len(rows)
                if observe:
                    observe(blocks, planted)
        yield week, int(world.rows_of_week[week.position])


def _batches(blocks: Iterator[Block], rows: int) -> Iterator[list[Block]]:
    batch: list[Block] = []
    for block in blocks:
        batch.append(block)
        if sum(len(each.lines.product) for each in batch) >= rows:
            yield batch
            batch = []
    if batch:
        yield batch


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; it gets its name when everything is written, so that a reader never sees half a week."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class _WeekFile:
    """Appends tables to one file, which takes its columns from the first."""

    def __init__(self, path: Path, format: str) -> None:
        self._path, self._text = path, format == "csv"
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | pa_csv.CSVWriter | None = None

    def __enter__(self) -> _WeekFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def write(self, table: pa.Table, rows: Rows) -> None:
        if self._text:
            table = _as_text(table, rows)
        if self._writer is None:
            start = self._start_text if self._text else self._start_parquet
            self._writer = self._open.enter_context(start(table.schema))
        self._writer.write_table(table)

    def _start_parquet(self, schema: pa.Schema) -> pq.ParquetWriter:
        encoded = [name for name in schema.names if name not in _PLAIN]
        options: dict[str, Any] = {"use_dictionary": encoded, "write_statistics": _STATISTICS}
        return pq.ParquetWriter(self._path, schema, compression="snappy", **options)

    def _start_text(self, schema: pa.Schema) -> pa_csv.CSVWriter:
        """The header is written here: pyarrow puts quotes around its names whatever it is told."""
        sink = self._open.enter_context(self._path.open("wb"))
        sink.write((",".join(schema.names) + "\n").encode())
        options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
        return pa_csv.CSVWriter(sink, schema, write_options=options)


def _as_text(table: pa.Table, rows: Rows) -> pa.Table:
    """Codes as strings, and SPEND as text, so that it can hold what is no number."""
    spend = table["SPEND"].cast(pa.string())
    if len(rows.unreadable_spend):
        words = spend.to_numpy()
        words[rows.unreadable_spend] = _UNREADABLE
        spend = pa.chunked_array([pa.array(words, pa.string())])
    table = table.set_column(table.schema.get_field_index("SPEND"), "SPEND", spend)
    coded = [pa.types.is_dictionary(field.type) for field in table.schema]
    types = [pa.string() if code else field.type for code, field in zip(coded, table.schema, strict=True)]
    return table.cast(pa.schema(list(zip(table.schema.names, types, strict=True))))
