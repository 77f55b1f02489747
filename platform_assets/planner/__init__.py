"""The meal planner: event logs to point-in-time rows to weekly datasets."""
