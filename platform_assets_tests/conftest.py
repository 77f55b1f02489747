"""Fixtures that every room of the tests shares."""

pytest_plugins = ["platform_assets_tests.postgres"]
