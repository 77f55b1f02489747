"""Fixtures that every room of the tests shares, and how many points of failure a run visits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest_plugins = ["platform_assets_tests.postgres", "platform_assets_tests.lake_stores"]
VISITED = "points of failure visited"


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option, for `make test-faults`."""
    parser.addoption("--every-kill-point", action="store_true", help="visit all points of failure, not a seeded sample")


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
