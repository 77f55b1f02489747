"""Files that stand on one world, or on one preparation of it, are one unit of work: what is made once per process is made once.

Several workers share the files out; those of one group go to one worker, in their order. What the worlds are belongs to the
modules that make them.
"""

from __future__ import annotations

from pathlib import Path

from xdist.scheduler import LoadFileScheduling

TESTS = Path(__file__).parent
GROUPS = (
    # The planner's datasets (`small_model_platform`), and processes forked from one that has the libraries (`warm_processes`).
    (
        "end_to_end/test_planner_model.py", "end_to_end/test_planner_model_killed.py", "end_to_end/test_planner_model_bad_input.py",
        "end_to_end/test_planner_model_served.py", "end_to_end/test_planner_training_command.py", "end_to_end/test_killed_run.py",
        "end_to_end/test_world_model.py",
    ),
    # A week's model of the query predictor (`small_query_platform`).
    ("end_to_end/test_query_predictor.py", "end_to_end/test_query_predictor_judgement.py"),
)  # fmt: skip
_UNITS = {f"{TESTS.name}/{name}": f"{TESTS.name}/{group[0]}" for group in GROUPS for name in group}


class GroupScheduling(LoadFileScheduling):
    """By file, and by group where a file is in one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return _UNITS.get(file, file)
