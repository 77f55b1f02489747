"""Nothing that is written shows a secret: every service is reached with one, by right and refused, and then all is searched."""

from __future__ import annotations

import base64
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
import pyarrow.parquet as pq
import pytest

from platform_assets.commands.ui import addresses
from platform_assets.core import migrations
from platform_assets.core.redaction import hide_in, without_password
from platform_assets.core.settings import Settings
from platform_assets.simulators.meal_app import Scenario, load, simulate
from platform_assets_tests.end_to_end.deployment import ROOT
from platform_assets_tests.end_to_end.own_services import Postgres, own_mlflow, own_postgres
from platform_assets_tests.lake_stores import BUCKET, SECRET_KEY, Server
from platform_assets_tests.postgres import open_folder

POSTGRES, MLFLOW = "S1lentOtter/Br1ckMoon@7%:x", "Qu1etHeron/M0ssyFjord@9"
WRONG, WEBHOOK = "wr0ngKestrelPlume", "T0kenMarten/Zz41Birch"
# Of a secret that some reader took apart at its special characters, a part is a leak, too.
PARTS = ("S1lentOtter", "Br1ckMoon", "Qu1etHeron", "M0ssyFjord", "T0kenMarten", "Zz41Birch", WRONG)


def forms() -> set[str]:
    """Every secret as it is, as URLs, JSON and Basic authentication write it, and in parts."""
    whole = {POSTGRES, MLFLOW, WRONG, WEBHOOK, SECRET_KEY}
    encoded = {write(secret) for secret in whole for write in (quote, quote_plus, lambda text: quote(text, safe=""))}
    basic = {base64.b64encode(f"app:{secret}".encode()).decode() for secret in (POSTGRES, MLFLOW, WRONG)}
    return whole | encoded | basic | {secret.replace("/", "\\/") for secret in whole} | set(PARTS)


def leaks(content: bytes) -> set[str]:
    """The forms that stand in the bytes."""
    return {form for form in forms() if form.encode() in content}


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, what is compressed also as what it says."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                table = pq.read_table(path)
                content += f"{table.schema} {table.schema.metadata} {table.to_pylist()}".encode()
            if path.suffix == ".gz":
                content += gzip.decompress(content)
            yield path, content


@pytest.fixture
def home() -> Iterator[Path]:
    folder = open_folder("platform-assets-secrets-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def prepare_source(postgres: Postgres) -> str:
    """The app's database, filled, of a role whose password needs encoding; returns its URL."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE app LOGIN SUPERUSER PASSWORD '{POSTGRES}'")
        connection.execute("CREATE DATABASE app")
    url = postgres.url("app", "app", quote(POSTGRES, safe=""))
    migrations.upgrade(url)
    load(simulate(Scenario(seed=3, households=20, start=date(2026, 1, 2), weeks=1)), url)
    return url


def environment(home: Path, source: str, mlflow: int, store: Server) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "PLATFORM_HOME": str(home / "platform"), "DAGSTER_HOME": str(home),
        "PLATFORM_DAGSTER_STORAGE": str(home / "dagster"), "DAGSTER_DISABLE_TELEMETRY": "yes", "PYTHONPATH": str(ROOT),
        "PLATFORM_PLANNER_START": "2026-01-02", "PLATFORM_PLANNER_END": "2026-01-09", "PLATFORM_PLANNER_MINIMUM_ROWS": "1",
        "PLATFORM_SOURCE_URL": source, "PLATFORM_WAREHOUSE_URL": source,
        "PLATFORM_LAKE_URL": f"s3://{BUCKET}/secrets/lake", "PLATFORM_LAKE_SINGLE_WRITER": "1", **store.environment(),
        "MLFLOW_TRACKING_URI": f"http://app:{quote(MLFLOW, safe='')}@127.0.0.1:{mlflow}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "SECRET_WEBHOOK_PATH": f"/{WEBHOOK}", "SECRET_WRONG_PASSWORD": WRONG,
        "SECRET_BROKEN_URL": source.replace(quote(POSTGRES, safe=""), POSTGRES),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)  # more than its two subprocesses may take
def test_no_secret_is_in_anything_that_runs_and_commands_write(home: Path, rclone: Server) -> None:
    storage = home / "platform"
    storage.mkdir()
    (home / "dagster").mkdir()
    shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
    # MLflow needs no password, and is given one.
    with own_postgres("admin") as postgres, own_mlflow(home / "mlflow") as mlflow:
        given = environment(home, prepare_source(postgres), mlflow, rclone)
        run = [sys.executable, "-m", "platform_assets.commands", "setup"]
        done = [subprocess.run(run, cwd=home, env=given, capture_output=True, timeout=300)]
        assert done[0].returncode == 0, done[0].stderr[-3000:]
        run = [sys.executable, "-m", "platform_assets_tests.end_to_end.secret_runs"]
        done.append(subprocess.run(run, cwd=home, env=given, capture_output=True, timeout=500))
    for process in done:
        (home / "output.txt").open("ab").write(process.stdout + process.stderr)
    _copy_lake(given["AWS_ENDPOINT_URL"], home / "lake")
    written = dict(contents(home))
    found = {str(path.relative_to(home)): leaks(content) for path, content in written.items() if leaks(content)}
    assert not found, _around(written, home)
    assert done[1].returncode == 0, done[1].stderr.decode()[-4000:]
    _everything_was_searched(written, home)


def _everything_was_searched(written: dict[Path, bytes], home: Path) -> None:
    """What succeeded and what failed both left their words where they are looked for."""
    everything = b"\n".join(written.values())
    for words in (b"password authentication failed", b"PLATFORM_SOURCE_URL", b"does not answer", b"denied access", b"AWS_SECRET_ACCESS_KEY"):  # fmt: skip
        assert words in everything, words
    names = {str(path.relative_to(home)) for path in written}
    for ending in (
        "manifest.json",
        "training.parquet",
        "mlflow.db",
        ".db",
        ".err",
        "alerts.json",
        "dataset_summary.md",
    ):
        assert any(name.endswith(ending) for name in names), ending
    assert b"STEP_FAILURE" in everything
    assert b"Run of planner_days failed" in written[home / "platform" / "alerts.json"]


def _around(written: dict[Path, bytes], home: Path) -> str:
    """Where the secrets stand, with a few words around."""
    lines = []
    for path, content in written.items():
        for form in leaks(content):
            at = content.index(form.encode())
            lines.append(f"{path.relative_to(home)}: ...{content[max(at - 150, 0) : at + 150]!r}...")
    return "\n".join(lines)


def _copy_lake(endpoint: str, target: Path) -> None:
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET, prefix="secrets", endpoint=endpoint, access_key_id="AKIATESTTESTTESTTEST", secret_access_key=SECRET_KEY,
        region="us-east-1", client_options={"allow_http": True},
    )  # fmt: skip
    for entry in (entry for page in obstore.list(store) for entry in page):
        path = target / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(obstore.get(store, entry["path"]).bytes()))


@pytest.mark.parametrize("form", sorted(forms()))
def test_the_search_finds_a_planted_secret_in_every_kind_of_file(tmp_path: Path, form: str) -> None:
    import sqlite3

    import pyarrow as pa

    (tmp_path / "log.txt").write_text(f"connecting to {form} ...")
    pq.write_table(pa.table({"reason": [form]}), tmp_path / "rows.parquet", compression="zstd")
    with sqlite3.connect(tmp_path / "events.db") as connection:
        connection.execute("CREATE TABLE events (body text)")
        connection.execute("INSERT INTO events VALUES (?)", (form,))
    connection.close()
    assert all(form in leaks(content) for _, content in contents(tmp_path))
    assert len(list(contents(tmp_path))) == 3


def test_the_ui_prints_addresses_without_passwords() -> None:
    settings = Settings.from_environment(
        {"MLFLOW_TRACKING_URI": f"https://app:{quote(MLFLOW, safe='')}@mlflow.example"}
    )
    assert addresses(settings, 3000) == "Dagster  http://127.0.0.1:3000\nMLflow   https://app:***@mlflow.example"


@pytest.mark.parametrize(
    "url",
    [f"postgresql://app:{POSTGRES}@host/db", f"postgresql://app:{POSTGRES.replace('%', '')}@host:5/db", f"postgresql://{POSTGRES}",
     f"postgresql://host/db?password={WRONG}&sslpassword={WRONG}", f"host=h password={WRONG}", f"postgresql://h:{WRONG}/db",
     f"postgresql://[{WRONG}/db", f"https://{WRONG}@host/mlflow#{WRONG}"],
)  # fmt: skip
def test_a_url_that_cannot_be_read_is_shown_without_what_may_be_its_password(url: str) -> None:
    assert not leaks(without_password(url).encode()), without_password(url)
    error = (
        f'{url}: invalid integer value "{WRONG}" for connection option "port"' if WRONG in url else f"{url} is no URL"
    )
    assert not leaks(hide_in(error, url).encode())
