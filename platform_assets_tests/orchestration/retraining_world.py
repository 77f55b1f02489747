"""A retraining sensor's world: the weeks that are published, what their trainings lack, and ticks between which anything happens."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg

from platform_assets.orchestration.resources import LakeResource
from platform_assets.orchestration.retraining import Dataset, Policy, retrain

DATASET = dg.AssetKey(["rooms", "dataset"])
WEEKS = ["2026-01-02", "2026-01-09", "2026-01-16", "2026-01-23", "2026-01-30", "2026-02-06"]


@dataclass
class World:
    """What is published; its instance outlives a sensor, as a daemon's does its restarts."""

    instance: dg.DagsterInstance
    folder: Path = Path("unused")
    published: dict[str, Dataset] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    cursor: str | None = None
    broken: bool = False
    said: str = ""

    def publish(
        self, week: str, rows: int = 100, failed: tuple[str, ...] = (), digest: str = "d", urgent: str = ""
    ) -> None:
        self.published[week] = Dataset(f"{digest}-{week}", rows, failed, urgent=urgent)
        self.instance.report_runless_asset_event(dg.AssetMaterialization(DATASET, partition=week))

    def read(self, week: str) -> Dataset | None:
        if self.broken:
            raise ConnectionError("the lake is away")
        found = self.published.get(week)
        return found and replace(found, waits_for=self.lacks.get(week, ""), is_trained=week in self.trained)

    def tick(self, policy: Policy | None = None) -> list[str]:
        """The run keys of a tick; a tick that breaks keeps the cursor it had, as the daemon does."""
        sensor = retrain("new_weeks", DATASET, "job", policy or Policy(), lambda lake: self.read)
        lake = LakeResource(url=str(self.folder))
        with dg.build_sensor_context(self.instance, self.cursor, resources={"lake": lake}) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor, self.said = result.cursor, result.skip_reason.skip_message or "" if result.skip_reason else ""
        return [str(request.run_key) for request in result.run_requests or []]


def keys(*weeks: str, digest: str = "d") -> list[str]:
    return [f"{week}:{digest}-{week}" for week in weeks]
