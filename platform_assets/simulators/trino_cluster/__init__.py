"""A Trino cluster, simulated: query logs in the layout of Trino's event listener table, with costs measured or planted.

`record` really runs a planned traffic of statements on TPC-H data, each in a process of its own, and writes what the
operating system measured; `generate` writes as many rows as wanted of the same kinds of statements by the same kinds of
users, with costs drawn from a law whose numbers were fitted to a recording and are written into a ground truth.
`python -m platform_assets.simulators.trino_cluster record|generate` does both. A recording is shipped under `sample/`.
Known simplifications: arrival times are scheduled, never observed; recorded queries ran alone, so nothing queued.
"""

from pathlib import Path

from platform_assets.simulators.trino_cluster.scenario import Recording, Scenario, SimulatorError

SAMPLE = Path(__file__).parent / "sample"
"""The shipped recording: queries.parquet, thresholds.json, costs.json, recording.json, README.md."""

__all__ = ["SAMPLE", "Recording", "Scenario", "SimulatorError"]
