"""One query in a process of its own: what the operating system says it took, with limits that really interrupt it.

CPU is user and system time of the whole process from the start of the query; memory is the peak of its resident set above
where it stood before. DuckDB's own figures are not used: its CPU time is operators' wall time and grows under load. What
does not belong here: which queries are run.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import threading
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from platform_assets.simulators.trino_cluster.layout import Error
from platform_assets.simulators.trino_cluster.scenario import SimulatorError

_POLL_SECONDS = 0.002
_BATCH_ROWS = 50_000
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_THREADS = Path("/proc/self/task")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Limits:
    """What ends a query early: CPU seconds, growth of memory, and the sender's patience in CPU seconds."""

    cpu_seconds: float
    memory_mb: int
    patience_seconds: float | None = None


@dataclass(frozen=True)
class Measurement:
    """What one query took."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    scanned_rows: int
    output_rows: int
    error: Error | None


def measure(database: Path, schema: str, sql: str, limits: Limits) -> Measurement:
    """Fork, run, and report; raises SimulatorError when the process dies without a word."""
    _empty_engine()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _report(writing, database, schema, sql, limits)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if not said:
        raise SimulatorError(
            f"the process of a query ended with status {status} and said nothing; lower memory_limit_mb "
            f"if the machine is short of memory. The query: {sql[:200]}"
        )
    return _heard(json.loads(said))


def _heard(said: dict[str, Any]) -> Measurement:
    if "crash" in said:
        raise SimulatorError(f"a query could not be measured: {said['crash']}")
    error = said.pop("error")
    return Measurement(**said, error=Error(**error) if error else None)


def _report(writing: int, database: Path, schema: str, sql: str, limits: Limits) -> None:
    """In the child: never returns, and never runs what its parent would run at exit."""
    try:
        said = asdict(_run(database, schema, sql, limits))
    except BaseException as crash:
        said = {"crash": f"{type(crash).__name__}: {crash}"}
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(json.dumps(said).encode())
    os._exit(0)


def _run(database: Path, schema: str, sql: str, limits: Limits) -> Measurement:
    connection = _connect(database, schema, limits)
    watch = _Watch(connection, limits)
    _RESET.write_text(_RESET_PEAK)
    watch.start()
    rows, error = _execute(connection, sql, watch)
    cpu, wall = watch.stop()
    peak = max(_resident("VmHWM") - watch.resident, 0)
    return Measurement(cpu, wall, peak, _scanned(connection) if error is None else 0, rows, error)


def _connect(database: Path, schema: str, limits: Limits) -> Any:
    connection = _empty_engine()
    connection.execute(f"SET memory_limit = '{limits.memory_mb}MB'")
    connection.execute(f"ATTACH '{database}' AS hive (READ_ONLY)")
    connection.execute(f"USE hive.{schema}")
    connection.execute("SET enable_profiling = 'no_output'")
    return connection


@lru_cache(maxsize=1)
def _empty_engine() -> Any:
    """DuckDB without data, made once before the first fork: it takes longer to make than most queries take to run.

    A fork copies only the thread that calls it, so the engine must have no thread of its own, and it is asked for none.
    """
    import duckdb
    import pyarrow  # noqa: F401  (loaded before the fork, so that no query pays for it)

    # Nothing that lives now is looked at by the children's collections, so that its pages stay shared.
    gc.freeze()
    before = len(os.listdir(_THREADS))
    connection = duckdb.connect(config={"threads": "1", "temp_directory": ""})
    if len(os.listdir(_THREADS)) > before:
        raise SimulatorError("this DuckDB starts threads of its own and cannot be forked; record with duckdb 1.5")
    return connection


def _scanned(connection: Any) -> int:
    profile = json.loads(connection.get_profiling_information(format="json"))
    return int(profile.get("cumulative_rows_scanned", 0))


def _execute(connection: Any, sql: str, watch: _Watch) -> tuple[int, Error | None]:
    """Rows of the result, read batch by batch as a client would, and what stopped it."""
    import duckdb

    rows = 0
    try:
        for batch in connection.execute(sql).fetch_record_batch(_BATCH_ROWS):
            rows += batch.num_rows
    except duckdb.InterruptException:
        return rows, watch.reason
    except OSError as error:
        # What stops a query between two batches comes through Arrow, which knows no kinds of it.
        if "INTERRUPT" in str(error):
            return rows, watch.reason
        if "Out of Memory" in str(error):
            return rows, _over_memory(watch.limits)
        raise
    except duckdb.Error as error:
        return rows, _named(error, watch.limits)
    return rows, None


def _named(error: Exception, limits: Limits) -> Error:
    """DuckDB's exception under Trino's name for the same thing."""
    import duckdb

    message = str(error).splitlines()[0]
    if isinstance(error, duckdb.OutOfMemoryException):
        return _over_memory(limits)
    if isinstance(error, duckdb.ParserException):
        return Error("SYNTAX_ERROR", message)
    if isinstance(error, duckdb.CatalogException):
        return Error("FUNCTION_NOT_FOUND" if "Function" in message else "TABLE_NOT_FOUND", message)
    if isinstance(error, duckdb.BinderException):
        return Error("COLUMN_NOT_FOUND", message)
    if isinstance(error, duckdb.ConversionException):
        return Error("INVALID_CAST_ARGUMENT", message)
    raise error


def _over_memory(limits: Limits) -> Error:
    return Error("EXCEEDED_LOCAL_MEMORY_LIMIT", f"Query exceeded per-node memory limit of {limits.memory_mb}MB")


class _Watch:
    """Interrupts a query that goes over a limit, again and again until it ends: an early interrupt is lost.

    It looks at the process's own memory too, since not all that DuckDB takes counts against its limit.
    """

    def __init__(self, connection: Any, limits: Limits) -> None:
        self._connection, self.limits = connection, limits
        self.reason: Error | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._cpu = self._wall = 0.0
        self.resident = 0

    def start(self) -> None:
        """Begin to count."""
        self.resident = _resident("VmRSS")
        self._cpu, self._wall = _cpu_seconds(), time.perf_counter()
        self._thread.start()

    def stop(self) -> tuple[float, float]:
        """CPU and wall seconds since the start."""
        spent = _cpu_seconds() - self._cpu, time.perf_counter() - self._wall
        self._done.set()
        self._thread.join()
        return spent

    def _look(self) -> None:
        while not self._done.wait(_POLL_SECONDS):
            self.reason = self.reason or self._exceeded(_cpu_seconds() - self._cpu, _resident("VmRSS") - self.resident)
            if self.reason:
                self._connection.interrupt()

    def _exceeded(self, spent: float, grown: int) -> Error | None:
        patience = self.limits.patience_seconds
        if patience is not None and spent > patience:
            return Error("USER_CANCELED", "Query was canceled by user")
        if spent > self.limits.cpu_seconds:
            return Error("EXCEEDED_CPU_LIMIT", f"Exceeded CPU limit of {self.limits.cpu_seconds:.2f}s")
        return _over_memory(self.limits) if grown > self.limits.memory_mb * 1_000_000 else None


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _resident(field: str) -> int:
    """VmRSS, or its peak VmHWM, in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1_024
    raise SimulatorError(f"{_STATUS} has no {field}; recording needs Linux")
