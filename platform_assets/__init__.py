"""The reference ML data platform: partitioned, checked, content-addressed Dagster assets."""
