"""Ground floor: storage, SQL, Postgres, MLflow and profiles in plain Python.

Nothing here knows a pipeline, and nothing here imports Dagster or torch.
"""
