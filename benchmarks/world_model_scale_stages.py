"""Command line: one stage of a retailer's preparation in an interpreter of its own, so that what it takes is nobody else's.

    python -m benchmarks.world_model_scale_stages STAGE ROWS FOLDER

The stages are the world model's domain functions as its assets call them, without what Dagster and the lake add: publishing,
fetching and checks. What a stage took is written last, as stages/STAGE.json: a stage that has one is done.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from benchmarks.child import peak_mb
from platform_assets.core.engine import Engine
from platform_assets.world_model import splits
from platform_assets.world_model.raw_files import RawFolder

Each = TypeVar("Each")
PROGRESS_WEEKS = 10
_STATUS = Path("/proc/self/status")
_SAMPLING_SECONDS = 0.05


@dataclass(frozen=True)
class Taken:
    """What a stage took. Processor seconds are user and system, of all threads and children; memory is in MB.

    `load` is the machine's, of the last minute; `anonymous_mb` is None where the system does not tell it.
    """

    seconds: float
    processor_seconds: float
    peak_mb: float
    anonymous_mb: float | None
    load: float


@dataclass(frozen=True)
class Place:
    """The folder of one size."""

    folder: Path
    rows: int

    def record(self, stage: str) -> Path:
        """Where it is written what a stage took."""
        return self.folder / "stages" / f"{stage}.json"

    def taken(self, stage: str) -> Taken | None:
        """What a stage took; None of one that was not done."""
        record = self.record(stage)
        return Taken(**json.loads(record.read_text(encoding="utf-8"))) if record.exists() else None

    @property
    def raw(self) -> Path:
        """What the simulator writes."""
        return self.folder / "raw"

    @property
    def engine(self) -> Engine:
        """With the memory limit that the assets have, on all cores."""
        return Engine(self.made("spill"))

    @cached_property
    def split(self) -> splits.Split:
        """As of the calendar's last week."""
        weeks = [week.key for week in RawFolder(str(self.raw)).calendar().weeks]
        return splits.split_weeks(weeks, weeks[-1])

    def made(self, name: str) -> Path:
        """A folder."""
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        return self.folder / name

    def emptied(self, name: str) -> Path:
        """A folder without what a broken-off stage has left."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.made(name)

    def files(self, name: str, weeks: Sequence[str] | None = None) -> dict[str, Path]:
        """The weekly files of transactions or baskets, of all weeks or those given."""
        return {week: self.folder / name / f"{week}.parquet" for week in weeks or self.split.weeks}


def simulate(place: Place) -> None:
    """The raw files, a week each."""
    from platform_assets.simulators.retailer import Scenario, check, draw_world, write_weeks

    world = draw_world(Scenario(place.rows))
    check(world, place.raw, "parquet", replace=True)
    for _ in _told("simulate", world.weeks, write_weeks(world, place.raw)):
        pass


def transactions(place: Place) -> None:
    """A week after the other; what lies beside its transactions is deleted with it."""
    from platform_assets.world_model import extraction
    from platform_assets.world_model.raw_weeks import RawWeeks

    weeks, target = place.split.weeks, place.emptied("transactions")
    with TemporaryDirectory(dir=place.folder) as parts:
        raw = RawWeeks(RawFolder(str(place.raw)), place.engine, weeks, Path(parts))
        for week in _told("transactions", weeks, weeks):
            with TemporaryDirectory(dir=place.folder) as scratch:
                found = extraction.extract_week(raw.read(week, Path(scratch)), place.engine, Path(scratch))
                found.transactions.rename(target / f"{week}.parquet")


def baskets(place: Place) -> None:
    """A week after the other."""
    from platform_assets.world_model import baskets as domain

    weeks, target = place.split.weeks, place.emptied("baskets")
    rows = place.files("transactions")
    for week in _told("baskets", weeks, weeks):
        with TemporaryDirectory(dir=place.folder) as scratch:
            domain.build_week(place.engine, rows[week], Path(scratch)).rename(target / f"{week}.parquet")


def product_embeddings(place: Place) -> None:
    """Of the train weeks."""
    from platform_assets.world_model import product_embeddings as domain

    train = place.files("transactions", place.split.train)
    domain.build_embeddings(place.engine, train, place.emptied("product_embeddings"))


def prices(place: Place) -> None:
    """Of all weeks."""
    from platform_assets.world_model import prices as domain

    domain.build_prices(place.engine, place.files("transactions"), place.emptied("prices"))


def store_features(place: Place) -> None:
    """Of the train weeks."""
    from platform_assets.world_model import store_features as domain

    train = place.split.train
    visits, rows = place.files("baskets", train), place.files("transactions", train)
    domain.build_store_features(place.engine, visits, rows, place.emptied("store_features"))


def customer_features(place: Place) -> None:
    """Of all weeks."""
    from platform_assets.world_model import customer_features as domain
    from platform_assets.world_model import product_embeddings as products

    weeks = domain.Weeks(place.split, place.files("transactions"), place.files("baskets"))
    found = place.folder / "product_embeddings"
    named = found / products.PRODUCTS, found / products.EMBEDDINGS
    domain.build_features(place.engine, weeks, *named, place.emptied("customer_features"))


def tensor_cache(place: Place) -> None:
    """With the sample indices. Raises ValueError unless every simulated row is an item of it."""
    from platform_assets.world_model import cache_builder
    from platform_assets.world_model.cache_inputs import CacheInputs
    from platform_assets.world_model.tensor_cache import TensorCache

    features = ("product_embeddings", "customer_features", "store_features", "prices")
    folders = {name: place.folder / name for name in features}
    inputs = CacheInputs(place.files("transactions"), place.files("baskets"), **folders)
    cache, scratch = place.emptied("tensor_cache"), place.emptied("scratch")
    built = cache_builder.build_cache(place.engine, inputs, place.split, cache, scratch)
    items = sum(part["items"] for part in TensorCache(built).document["splits"].values())
    if items != place.rows:
        raise ValueError(f"the cache has {items:,} items of {place.rows:,} rows")


# In the order in which they need one another; the first is where the rows come from, and no part of the preparation.
SIMULATION = "simulate"
PREPARATION: Mapping[str, Callable[[Place], None]] = {
    each.__name__: each for each in (
        transactions, baskets, product_embeddings, prices, store_features, customer_features, tensor_cache
    )
}  # fmt: skip
STAGES = {SIMULATION: simulate, **PREPARATION}


def measure(work: Callable[[], None]) -> Taken:
    """Do the work in this process, and say what it took."""
    began, processor = time.perf_counter(), _processor_seconds()
    found, done = [], threading.Event()
    watch = threading.Thread(target=_watch_anonymous, args=(found, done), daemon=True)
    watch.start()
    work()
    done.set()
    watch.join()
    return Taken(
        time.perf_counter() - began, _processor_seconds() - processor, peak_mb(), max(found, default=None),
        round(os.getloadavg()[0], 1),
    )  # fmt: skip


def main() -> None:
    """Run the stage that the arguments name."""
    stage, rows, folder = sys.argv[1:]
    place = Place(Path(folder), int(rows))
    taken = measure(lambda: STAGES[stage](place))
    record = place.record(stage)
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(taken)), encoding="utf-8")
    partial.rename(record)


def _told(stage: str, weeks: Sequence[object], work: Iterable[Each]) -> Iterator[Each]:
    """The work of each week, saying every few weeks how far it is."""
    began = time.perf_counter()
    for number, each in enumerate(work, 1):
        yield each
        if number % PROGRESS_WEEKS == 0:
            seconds = time.perf_counter() - began
            sys.stderr.write(f"{stage}: {number} of {len(weeks)} weeks, {seconds:.0f} s\n")
            sys.stderr.flush()


def _processor_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def _watch_anonymous(found: list[float], done: threading.Event) -> None:
    """The peak of what no file backs, in MB. The system keeps one of all pages only: this one is looked up often."""
    while _STATUS.exists() and not done.wait(_SAMPLING_SECONDS):
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
        found[:] = [max([*found, int(line.split()[1]) * 1024 / 1e6])]


if __name__ == "__main__":
    main()
