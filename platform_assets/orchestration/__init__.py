"""Dagster glue that all pipelines share: resources, calendars, check factories, automation conditions, alerts.

It imports core only. What one pipeline alone needs belongs in that pipeline's `assets/`.
"""
