"""Every setting the platform reads from the environment, in one frozen value.

An unset setting means the embedded default, so that a fresh checkout runs without any configuration. Nothing else
in the code base reads the environment for its own settings, and nothing here opens a connection.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

# Not a person's setting: the process id of the step that started a program, by which the program knows that it is gone.
STEP_PROCESS = "PLATFORM_STEP_PROCESS"


class SettingError(ValueError):
    """A setting has a value that cannot be used; the message names the variable and the remedy."""


@dataclass(frozen=True)
class Settings:
    """The platform's settings; see the README's table for what each means."""

    home: Path
    lake_url: str
    warehouse_url: str | None
    source_url: str | None
    mlflow_tracking_uri: str | None
    alert_webhook: str | None
    dagster_url: str
    lake_single_writer: bool
    planner_start: date
    planner_end: date | None
    planner_minimum_rows: int
    planner_model_base: str
    planner_tiny_steps: int
    planner_training_weeks: int
    planner_retrain_gap_weeks: int
    planner_retrain_rows: int
    planner_gate_rows: int
    planner_gate_households: int
    retail_start: date
    retail_end: date | None
    retail_source: str
    retail_retrain_weeks: int
    retail_training_options: Mapping[str, str]
    retail_gate_rows: int
    retail_gate_customers: int
    trino_start: date
    trino_end: date | None
    trino_source: str
    trino_configuration: Path | None
    trino_retrain_weeks: int
    trino_training_options: Mapping[str, str]
    trino_gate_rows: int
    trino_gate_templates: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Settings of this process. Raises SettingError for a value that cannot be read."""
        home = Path(environ.get("PLATFORM_HOME") or ".platform").expanduser().absolute()
        start = _read_date(environ, "PLATFORM_PLANNER_START")
        retail_start, retail_end = (_read_date(environ, f"PLATFORM_RETAIL_{edge}") for edge in ("START", "END"))
        trino_source, configuration = (environ.get(f"PLATFORM_TRINO_{name}") for name in ("SOURCE", "CONFIGURATION"))
        return cls(
            home=home,
            lake_url=environ.get("PLATFORM_LAKE_URL") or str(home / "lake"),
            warehouse_url=environ.get("PLATFORM_WAREHOUSE_URL") or None,
            source_url=environ.get("PLATFORM_SOURCE_URL") or environ.get("PLATFORM_WAREHOUSE_URL") or None,
            mlflow_tracking_uri=environ.get("MLFLOW_TRACKING_URI") or None,
            alert_webhook=environ.get("PLATFORM_ALERT_WEBHOOK") or None,
            dagster_url=environ.get("PLATFORM_DAGSTER_URL") or "http://127.0.0.1:3000",
            lake_single_writer=_read_flag(environ, "PLATFORM_LAKE_SINGLE_WRITER"),
            planner_start=start or DEMO_START,
            planner_end=_read_date(environ, "PLATFORM_PLANNER_END"),
            planner_minimum_rows=_read_integer(environ, "PLATFORM_PLANNER_MINIMUM_ROWS", 1000),
            planner_model_base=environ.get("PLATFORM_PLANNER_MODEL_BASE") or "tiny",
            planner_tiny_steps=_read_integer(environ, "PLATFORM_PLANNER_TINY_STEPS", 3000, least=1),
            planner_training_weeks=_read_integer(environ, "PLATFORM_PLANNER_TRAINING_WEEKS", 4, least=1),
            planner_retrain_gap_weeks=_read_integer(environ, "PLATFORM_PLANNER_RETRAIN_GAP_WEEKS", 1, least=1),
            planner_retrain_rows=_read_integer(environ, "PLATFORM_PLANNER_RETRAIN_ROWS", 1),
            planner_gate_rows=_read_integer(environ, "PLATFORM_PLANNER_GATE_ROWS", 1000, least=1),
            planner_gate_households=_read_integer(environ, "PLATFORM_PLANNER_GATE_HOUSEHOLDS", 250, least=2),
            retail_start=retail_start or RETAIL_START,
            # The documented data ended years ago: weeks up to today would be a thousand that nobody will ever fill.
            retail_end=retail_end or (None if retail_start else RETAIL_END),
            retail_source=environ.get("PLATFORM_RETAIL_SOURCE") or str(home / "retail"),
            retail_retrain_weeks=_read_integer(environ, "PLATFORM_RETAIL_RETRAIN_WEEKS", 4, least=1),
            retail_training_options=_read_options(
                environ, "PLATFORM_RETAIL_TRAINING_OPTIONS", '{"epochs": 6, "learning_rate": 0.001}'
            ),
            retail_gate_rows=_read_integer(environ, "PLATFORM_RETAIL_GATE_ROWS", 1000, least=1),
            retail_gate_customers=_read_integer(environ, "PLATFORM_RETAIL_GATE_CUSTOMERS", 250, least=2),
            trino_start=_read_date(environ, "PLATFORM_TRINO_START") or TRINO_START,
            # The shipped log is over; one of your own goes on.
            trino_end=_read_date(environ, "PLATFORM_TRINO_END") or (None if trino_source else TRINO_END),
            trino_source=trino_source or str(TRINO_SAMPLE / "queries.parquet"),
            trino_configuration=Path(configuration).expanduser() if configuration else None,
            trino_retrain_weeks=_read_integer(environ, "PLATFORM_TRINO_RETRAIN_WEEKS", 1, least=1),
            trino_training_options=_read_options(
                environ, "PLATFORM_TRINO_TRAINING_OPTIONS", '{"n_estimators": 200, "max_depth": 8}'
            ),
            trino_gate_rows=_read_integer(environ, "PLATFORM_TRINO_GATE_ROWS", 1000, least=1),
            trino_gate_templates=_read_integer(environ, "PLATFORM_TRINO_GATE_TEMPLATES", 250, least=2),
        )

    @property
    def postgres_folder(self) -> Path:
        """Data folder of the embedded Postgres."""
        return self.home / "postgres"

    @property
    def mlflow_folder(self) -> Path:
        """Where MLflow artefacts go when no MLflow server is configured."""
        return self.home / "mlflow"

    @property
    def trino_thresholds(self) -> Path | None:
        """The file that says what is heavy in the shipped log; None for any other log: the documented 300 s and 10 GiB."""
        is_shipped = Path(self.trino_source) == TRINO_SAMPLE / "queries.parquet"
        return TRINO_SAMPLE / "thresholds.json" if is_shipped else None

    @property
    def training_folder(self) -> Path:
        """Checkpoints of trainings that are not finished yet; a training without them starts anew."""
        return self.home / "training"

    @property
    def scratch_folder(self) -> Path:
        """Working files of running assets; safe to delete when nothing runs."""
        return self.home / "scratch"


DEMO_START = date(2026, 1, 2)
RETAIL_START, RETAIL_END = date(2006, 4, 10), date(2008, 7, 7)
TRINO_START, TRINO_END = date(2025, 6, 2), date(2025, 8, 4)
# The recorded log that ships with the package.
TRINO_SAMPLE = Path(__file__).resolve().parents[1] / "simulators" / "trino_cluster" / "sample"


def _read_date(environ: Mapping[str, str], name: str) -> date | None:
    text = environ.get(name)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingError(f"{name} is {text!r}; write a date as YYYY-MM-DD") from None


def _read_integer(environ: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = environ.get(name)
    if not text:
        return default
    if not text.isdigit() or int(text) < least:
        raise SettingError(f"{name} is {text!r}; write a whole number of {least} or more")
    return int(text)


def _read_options(environ: Mapping[str, str], name: str, example: str) -> dict[str, str]:
    """A program's options as its command line takes them, from a JSON object of texts, numbers, switches and lists of texts."""
    try:
        found = json.loads(environ.get(name) or "{}")
        if not isinstance(found, dict):
            raise ValueError
        return {option: _read_option(value) for option, value in found.items()}
    except ValueError:
        raise SettingError(
            f"{name} is {environ[name]!r}; write a JSON object of the program's options, such as '{example}'"
        ) from None


def _read_option(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError


def _read_flag(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "")
    if text not in ("", "0", "1"):
        raise SettingError(f"{name} is {text!r}; write 1 to switch it on, or 0")
    return text == "1"
