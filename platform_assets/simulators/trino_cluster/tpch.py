"""TPC-H data in one DuckDB file: schema `sales` at the scale asked for, schema `sandbox` with a tenth of its rows.

Facts lie sorted by date, so that a short period reads few row groups, as it reads few partitions in a lake. What does not
belong here: queries.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from platform_assets.simulators.trino_cluster.scenario import SimulatorError

_ORDER = {"lineitem": "l_shipdate", "orders": "o_orderdate"}
# Order keys come eight in 32, so that whole groups of orders stay together with their lines.
_TENTH = {
    "lineitem": "l_orderkey // 32 % 10 = 0",
    "orders": "o_orderkey // 32 % 10 = 0",
    "customer": "c_custkey % 10 = 0",
    "part": "p_partkey % 10 = 0",
    "partsupp": "ps_partkey % 10 = 0",
}
_TABLES = (*_TENTH, "supplier", "nation", "region")


def make_database(path: Path, scale: float) -> None:
    """Write the file, whole or not at all; raises SimulatorError where the data generator is not installed."""
    import duckdb

    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with TemporaryDirectory(dir=path.parent) as folder:
        _make_parquet(Path(folder), scale)
        with duckdb.connect(str(partial)) as connection:
            for schema in ("sales", "sandbox"):
                connection.execute(f"CREATE SCHEMA {schema}")
                for table in _TABLES:
                    connection.execute(_create(schema, table, Path(folder)))
    partial.replace(path)


def _create(schema: str, table: str, folder: Path) -> str:
    where = f"WHERE {_TENTH[table]}" if schema == "sandbox" and table in _TENTH else ""
    order = f"ORDER BY {_ORDER[table]}" if table in _ORDER else ""
    return f"CREATE TABLE {schema}.{table} AS SELECT * FROM '{folder / table}.parquet' {where} {order}"


def _make_parquet(folder: Path, scale: float) -> None:
    done = subprocess.run(
        [_generator(), "parquet", "-s", str(scale), "--output-dir", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SimulatorError(f"tpchgen-cli wrote no data: {done.stderr.strip()[-500:]}; run it by hand to see why")


def _generator() -> str:
    beside = Path(sys.executable).with_name("tpchgen-cli")
    found = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    if found is None:
        raise SimulatorError("tpchgen-cli is not installed; run pip install tpchgen-cli, or pip install -e '.[dev]'")
    return found
