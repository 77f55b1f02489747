"""The digest of a table or of a set of files: what the lake compares to tell "the same content" from "other content".

A table's digest covers its logical rows (as a multiset) and its schema; row order, files and row groups, compression,
encodings, threads and the session's time zone do not enter. It is built for accidents, not for adversaries: two different
tables agree with a chance of about 2**-64. A hash of whole rows (md5 over JSON, or over text) would need no engine's
hash(), but costs ten times as much; the price here is that the engine's release is part of the algorithm's name, so an
upgrade gives unchanged rows a new digest once.

Three properties of DuckDB's plain hash(row) shape the expression below; tests hold the first two. A missing list, an empty
list and [NULL] hash alike, as do a missing struct and a struct of NULLs, and [[1], [2]] and [[1, 2]]. Texts that differ
in bytes 8 and 16 often collide (8,100 such texts had 256 hashes). And columns are combined by XOR, so that sums over rows
would miss two swapped values with a chance of (3/4)**64, one in 10**8, were each row's hash not mixed once more.

What counts as equal follows SQL: 0.0 = -0.0, and every NaN is the same NaN (and is not NULL). Column names, their order and
types (as the engine reads them, large or dictionary-encoded text being plain text) are schema; nullability is not.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

FILES_ALGORITHM = "sha256-files-v1"
DIGEST_CHARACTERS = 32
# Fixed-width values whose hash() is a bijection of their 64 bits. Wider or composite ones (UUID, HUGEINT, INTERVAL) go
# through their text: hash() folds their halves by XOR.
_DIRECT = frozenset(
    {"boolean", "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint", "float"}
    | {"double", "date", "time", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"}
)
_TEXT = frozenset(
    {"varchar", "uuid", "hugeint", "uhugeint", "decimal", "interval", "time with time zone", "bit", "enum"}
)
_NULL_LIST, _NULL_STRUCT, _NULL_MAP = (f"{seed}::UBIGINT" for seed in (0x6E756C6C01, 0x6E756C6C02, 0x6E756C6C03))
_FORWARD, _BACKWARD = (f"{seed}::UBIGINT" for seed in (0x666F7277617264, 0x6261636B77617264))


class Undigestible(ValueError):
    """The files do not form one table, or hold a type that has no digest; the message says which."""


@dataclass(frozen=True)
class TableDigest:
    """`digest` is 32 hexadecimal characters; `schema` lists {"name", "type"} in column order."""

    algorithm: str
    digest: str
    rows: int
    schema: list[dict[str, str]]


def digest_table(paths: Sequence[Path]) -> TableDigest:
    """The digest of the rows of Parquet files that together are one table. Streams; needs no memory that grows.

    Raises Undigestible when there is no file, the files' schemas differ, or a column's type is not supported.
    """
    import duckdb

    algorithm = f"duckdb-{duckdb.__version__}-rowhash-v1"
    with duckdb.connect() as connection:
        # Texts of zoned values must not depend on the machine, and a type must not trigger a download.
        connection.execute("SET TimeZone = 'UTC'; SET autoinstall_known_extensions = false")
        schema, types = _read_schema(connection, paths)
        rows, sums = _sum_rows(connection, paths, types)
    document = json.dumps([algorithm, schema, rows, [str(total) for total in sums]], separators=(",", ":"))
    digest = hashlib.sha256(document.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return TableDigest(algorithm, digest, rows, schema)


def digest_files(entries: Iterable[tuple[str, str]]) -> str:
    """The digest of (path, sha256) pairs, in any order; for arrays and models, where bytes are the content."""
    document = json.dumps(sorted([path, sha256] for path, sha256 in entries), separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()[:DIGEST_CHARACTERS]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_schema(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]
) -> tuple[list[dict[str, str]], list[Any]]:
    if not paths:
        raise Undigestible("a table needs at least one Parquet file; an empty table is a file with 0 rows")
    first: tuple[list[dict[str, str]], list[Any]] | None = None
    for path in paths:
        relation = connection.sql(f"SELECT * FROM {_scan([path])}")
        schema = [
            {"name": name, "type": str(kind)} for name, kind in zip(relation.columns, relation.types, strict=True)
        ]
        if first is None:
            first = (schema, list(relation.types))
        elif schema != first[0]:
            # Read together, the engine would cast or reorder silently.
            raise Undigestible(f"{path.name} has another schema than {paths[0].name}: {schema} against {first[0]}")
    assert first is not None
    return first


def _sum_rows(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], types: Sequence[Any]
) -> tuple[int, tuple[int, int]]:
    """Row count and two independent sums of 64-bit row hashes: addition forgets the order and keeps duplicates.

    2**63 rows would be needed to overflow the 128-bit sums.
    """
    names = [f"c{position}" for position in range(len(types))]
    hashed = ", ".join(f"{_hash(name, kind)} AS h_{name}" for name, kind in zip(names, types, strict=True))
    forward, backward = (", ".join(f"h_{name}" for name in order) for order in (names, names[::-1]))
    found = connection.execute(
        # The outer hash() mixes once more: see the module's docstring.
        f"SELECT count(*), sum(hash(hash({_FORWARD}, {forward}))), sum(hash(hash({_BACKWARD}, {backward}))) "
        f"FROM (SELECT {hashed} FROM {_scan(paths)} AS t({', '.join(names)}))"
    ).fetchone()
    assert found is not None
    return found[0], (found[1] or 0, found[2] or 0)


def _hash(value: str, kind: Any, depth: int = 0) -> str:
    """SQL for the 64-bit hash of a value; never NULL, and different for what is different at any depth."""
    if kind.id in _DIRECT or (kind.id == "decimal" and dict(kind.children)["precision"] <= 18):
        return f"hash({value})"
    if kind.id == "blob":
        return f"hash(md5_number({value}))"
    if kind.id in _TEXT:
        return f"hash(md5_number(CAST({value} AS VARCHAR)))"
    if kind.id in ("list", "array"):
        # The length, because hash() of a list does not tell where it ends.
        items = _hash_items(value, dict(kind.children)["child"], depth)
        return f"CASE WHEN {value} IS NULL THEN {_NULL_LIST} ELSE hash(len({value}), {items}) END"
    if kind.id == "struct":
        fields = (_hash(f"struct_extract({value}, {_literal(name)})", field, depth) for name, field in kind.children)
        return f"CASE WHEN {value} IS NULL THEN {_NULL_STRUCT} ELSE hash({_FORWARD}, {', '.join(fields)}) END"
    if kind.id == "map":
        return _hash_map(value, kind, depth)
    raise Undigestible(f"a column of type {kind} has no digest; write it as text, numbers, lists or structs")


def _hash_items(items: str, kind: Any, depth: int) -> str:
    item = f"e{depth}"
    return f"list_transform({items}, lambda {item}: {_hash(item, kind, depth + 1)})"


def _hash_map(value: str, kind: Any, depth: int) -> str:
    # A map has no order: entries are hashed one by one and sorted.
    item, types = f"e{depth}", dict(kind.children)
    key, content = (_hash(f"struct_extract({item}, '{part}')", types[part], depth + 1) for part in ("key", "value"))
    entries = f"list_sort(list_transform(map_entries({value}), lambda {item}: hash({_FORWARD}, {key}, {content})))"
    return f"CASE WHEN {value} IS NULL THEN {_NULL_MAP} ELSE hash(len({entries}), {entries}) END"


def _scan(paths: Sequence[Path]) -> str:
    # Escaped, because a bracket or a star in a folder's name is no pattern, nor `day=1` a column.
    files = ", ".join(_literal(glob.escape(str(path))) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false)"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
