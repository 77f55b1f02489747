"""What in the lake nothing names: found by reading, nothing is written here.

A revision is kept while its digest is current at any pointer, is named by the inputs or details of a pointer or of a kept
revision's record, or is named from outside (MLflow). Digests are compared without asset and partition, so that a slip in a
lineage keeps too much rather than too little. Garbage is
- a revision that is not kept: it is condemned first, and deleted by a run at least a minimum age later;
- in a kept revision's folder, files that neither its record nor the pointer names: side files of former publications,
  uploads of writers that died or lost. They must be older than the minimum age, and so must the pointer's last move;
- a folder without a record, all of whose files are older than that: a died writer's;
- probes and temporary files of that age.

The minimum age is for those who read or compute from a revision while it goes out of use; it does not make deletion atomic
(garbage_collection.py does). Partitions that were never published are left alone: they have no pointer to guard them by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from platform_assets.core.record import Record, read_record
from platform_assets.core.revision import Address, Revision, from_json
from platform_assets.core.stores import PART, PROBE, Corrupt, Entry, Store

Verdict = Literal["condemn", "wait", "delete", "sweep", "pardon"]
# Digests are 32 characters; a longer hash that is named as well does no harm.
_DIGEST = re.compile(r"[0-9a-f]{32,64}")


@dataclass(frozen=True)
class Garbage:
    """What is to be done in one digest's folder. `entries` is what was there when it was listed: nothing else is deleted."""

    verdict: Verdict
    address: Address
    digest: str
    record: Record | None
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(entry.size for entry in self.entries)


@dataclass
class Survey:
    """A lake as listed and read once."""

    pointers: dict[str, Revision] = field(default_factory=dict)
    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    folders: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    strays: list[Entry] = field(default_factory=list)


def digests_in(text: str) -> set[str]:
    """Everything in a text that looks like a digest."""
    return set(_DIGEST.findall(text))


def survey(store: Store, root: str) -> Survey:
    """Lists the lake, then reads every manifest. Raises Corrupt for one that cannot be read: what it names is unknown."""
    found, keys = Survey(), list(store.list())
    for entry in keys:
        path, is_below, rest = entry.key.partition("/revisions/")
        name = entry.key.rsplit("/", 1)[-1]
        if entry.key.startswith(PROBE) or (name.startswith(".") and name.endswith(PART)):
            found.strays.append(entry)
        elif is_below and "/" in rest and not name.startswith("."):
            folder = found.folders.setdefault((path, rest.split("/", 1)[0]), [])
            if rest.count("/") > 1:
                folder.append(entry)
    for entry in keys:
        path, name = entry.key.rpartition("/")[::2]
        if name == "manifest.json" and "/revisions/" not in entry.key:
            found.pointers[path] = _read_pointer(store, root, path, entry.key)
    for path, digest in found.folders:
        if path in found.pointers:
            record = read_record(store, root, found.pointers[path].address, digest)
            if record is not None:
                found.records[path, digest] = record
    return found


def kept_digests(found: Survey, named: Collection[str]) -> set[str]:
    """What is current, named from outside, or named by the manifests of what is kept."""
    naming: dict[str, set[str]] = {}
    for revision in [*found.pointers.values(), *(record.revision for record in found.records.values())]:
        if revision is not None:
            names = digests_in(json.dumps(revision.lineage.document()))
            naming.setdefault(revision.digest, set()).update(names)
    kept, waiting = set[str](), [*(pointer.digest for pointer in found.pointers.values()), *named]
    while waiting:
        digest = waiting.pop()
        if digest not in kept:
            kept.add(digest)
            waiting += naming.get(digest, ())
    return kept


def find_garbage(found: Survey, named: Collection[str], minimum_age: timedelta, now: datetime) -> list[Garbage]:
    """What is to be done, by partition. `named` are the digests that others than the lake refer to."""
    kept, garbage = kept_digests(found, named), []
    for (path, digest), entries in sorted(found.folders.items()):
        pointer, record = found.pointers.get(path), found.records.get((path, digest))
        if pointer is None:
            continue
        if record is not None and record.is_usable:
            judged = _judge_kept if digest in kept else _judge_unnamed
            garbage += judged(pointer, record, entries, now - minimum_age)
        elif digest not in kept and (
            (record is not None and record.state == "deleting") or _all_old(entries, now - minimum_age)
        ):
            garbage.append(Garbage("delete", pointer.address, digest, record, tuple(entries)))
    return garbage


def old_strays(found: Survey, minimum_age: timedelta, now: datetime) -> list[Entry]:
    """Probes and temporary files of writers that died."""
    return [entry for entry in found.strays if entry.modified <= now - minimum_age]


def _judge_unnamed(pointer: Revision, record: Record, entries: list[Entry], before: datetime) -> Iterator[Garbage]:
    verdict: Verdict = "condemn"
    if record.state == "condemned":
        verdict = "delete" if datetime.fromisoformat(record.since) <= before else "wait"
    yield Garbage(verdict, pointer.address, record.digest, record, tuple(entries))


def _judge_kept(pointer: Revision, record: Record, entries: list[Entry], before: datetime) -> Iterator[Garbage]:
    if record.state == "condemned":
        yield Garbage("pardon", pointer.address, record.digest, record, ())
        return
    named = named_keys(pointer) | named_keys(record.revision)
    unnamed = tuple(entry for entry in entries if entry.key not in named and entry.modified <= before)
    if unnamed and datetime.fromisoformat(pointer.created_at) <= before:
        yield Garbage("sweep", pointer.address, record.digest, record, unnamed)


def named_keys(revision: Revision | None) -> set[str]:
    """The keys of a revision's files."""
    return {f"{revision.address.path}/{file.path}" for file in revision.files} if revision else set()


def _all_old(entries: list[Entry], before: datetime) -> bool:
    return bool(entries) and all(entry.modified <= before for entry in entries)


def _read_pointer(store: Store, root: str, path: str, key: str) -> Revision:
    content = store.read(key)
    if content is None:
        raise Corrupt(f"{root}/{key} vanished while it was read; run it again")
    try:
        document = json.loads(content[0])
        address = Address(document["asset"], document["partition"], path)
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{root}/{key} is not a manifest; remove it and materialise the partition again") from error
    return from_json(content[0], address, root, key)
