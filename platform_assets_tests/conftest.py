"""Fixtures that every room of the tests shares, the order of the files, and how many points of failure a run visits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is no fault of what is tested.
settings.register_profile("no_clock", deadline=None)
settings.load_profile("no_clock")
pytest_plugins = ["platform_assets_tests.postgres", "platform_assets_tests.lake_stores"]
VISITED = "points of failure visited"
# The files that take longest, longest first: begun last, one of them would keep a worker busy while the others are idle.
# Those that mostly wait for a daemon come before those that compute, so that the two go on beside each other.
HEAVIEST = (
    "end_to_end/test_production.py", "end_to_end/test_ui.py", "end_to_end/test_planner_model.py",
    "end_to_end/test_planner_model_daemon.py", "end_to_end/test_planner_model_killed.py",
    "planner/test_training_processes.py", "end_to_end/test_world_model.py", "end_to_end/test_secrets.py",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option, for `make test-faults`."""
    parser.addoption("--every-kill-point", action="store_true", help="visit all points of failure, not a seeded sample")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The heaviest files first, then those with slow tests; within a file, and among equals, the order stays."""
    heaviest = {Path(__file__).parent / name: place for place, name in enumerate(HEAVIEST)}
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: heaviest.get(item.path, len(heaviest) + (item.path not in slow)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Where work is shared out by file, files that stand on one world go to one worker."""
    from platform_assets_tests.shared_worlds import GroupScheduling

    return GroupScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture
def every_kill_point(request: pytest.FixtureRequest) -> bool:
    """Whether this run visits all points of failure."""
    return request.config.getoption("--every-kill-point")


@pytest.fixture
def visited(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Counts points of failure for the summary."""
    return lambda number: record_property(VISITED, number)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tells how many points of failure were visited, over all workers."""
    reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "when")]
    values = [
        value
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == VISITED
    ]
    if values:
        terminalreporter.write_line(f"{VISITED}: {sum(values):,}")
