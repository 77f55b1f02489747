"""What the neural trainings share: Lightning set-up, exact resume, loss accounting, progress to Dagster Pipes.

Imports core, torch and lightning; knows no pipeline and nothing of MLflow. What is trained on what belongs to the pipelines.
"""
