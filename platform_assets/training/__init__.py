"""What the trainings share: the command and its record in MLflow, Lightning set-up, exact resume, progress to Dagster Pipes.

Imports core, torch and lightning, the last two only where there is a network to train; knows no pipeline. What is trained on
what belongs to the pipelines.
"""
