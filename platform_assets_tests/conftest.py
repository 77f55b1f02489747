"""Fixtures that every room of the tests shares."""

pytest_plugins = ["platform_assets_tests.postgres", "platform_assets_tests.lake_stores"]
