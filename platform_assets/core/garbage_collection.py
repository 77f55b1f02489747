"""Deletes garbage while others publish: no pointer ever names a file that is being deleted.

Deleting has steps, each a compare-and-swap that a publisher's own swaps can lose to or win against:
(0) list the lake; only files of this list are ever deleted;
(1) read record and pointer, and judge (garbage.py);
(2) swap the record of every digest folder to be touched: to `deleting`, or, where only unnamed files of a kept revision go,
    to the same in new bytes. A folder without a record gets one;
(3) swap the pointer to the same in new bytes. Where it moved meanwhile, look again: what it names now is spared;
(4) delete what is listed and named neither by that pointer nor by a record left live;
(5) swap `deleting` to `collected`.

Why that is enough. A publisher's round reads the pointer, then the record, then uploads to paths never used before, then
swaps the record (unless it stays as read), then the pointer; a lost swap begins a new round with nothing carried over. Say
a pointer swap names a file F that (4) deletes. If the round uploaded F, it read the pointer before F was listed, hence
before (3): it either swapped before (3), and (3) saw F named, or lost. If it took F from a record, and read the pointer
before (3), the same holds; if after (3), it read the record after (2), where the record was either `deleting`, which is not
reused, or kept naming F, which is then not deleted, or was written by a round that read it after (2), whose uploads are not
in the list. Manifests never take bytes they had before, so no swap can mistake an old state for the present one.

A collector may die anywhere: the next one finds `deleting` and begins again at (0). Several may run at once. On a store
without conditional PUT nothing else may publish meanwhile. What no swap guards is somebody who computes, for longer than the
minimum age, from a revision that is no longer current; he finds its files missing, or publishes a lineage naming it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from uuid import uuid4

from platform_assets.core.garbage import Garbage, find_garbage, named_keys, old_strays, survey
from platform_assets.core.record import marked, pointer_key, record_key, touched
from platform_assets.core.revision import Address, Revision, from_json, to_json
from platform_assets.core.stores import Conflict, Corrupt, Entry, Store

# A pointer that moves this often while it is looked at is left for the next run.
TRIES = 10


@dataclass(frozen=True)
class Plan:
    """What a collection would do."""

    garbage: list[Garbage] = field(default_factory=list)
    strays: list[Entry] = field(default_factory=list)


class Collector:
    """Collects in one store; `root` is the lake's address, for messages."""

    def __init__(self, root: str, store: Store, minimum_age: timedelta) -> None:
        self.root, self.store, self.minimum_age = root, store, minimum_age

    def plan(self, named: Collection[str]) -> Plan:
        """Steps 0 and 1, which write nothing. `named` are digests that must be kept whatever the lake says."""
        now, found = datetime.now(UTC), survey(self.store, self.root)
        return Plan(find_garbage(found, named, self.minimum_age, now), old_strays(found, self.minimum_age, now))

    def apply(self, plan: Plan) -> list[Entry]:
        """Steps 2 to 5; returns what was deleted. Whatever changed since it was planned is left for the next run."""
        self.store.check()
        deleted = []
        for address, group in groupby(plan.garbage, key=lambda item: item.address):
            garbage = list(group)
            for item in garbage:
                self._mark(item)
            deleted += self._delete(address, [item for item in garbage if item.verdict in ("delete", "sweep")])
        for entry in plan.strays:
            self.store.delete(entry.key)
        return deleted + plan.strays

    def _mark(self, item: Garbage) -> None:
        if item.verdict == "condemn":
            self._swap(item, marked(item.record, "condemned", datetime.now(UTC)))
        elif item.verdict == "pardon":
            self._restore(item)

    def _delete(self, address: Address, garbage: Sequence[Garbage]) -> list[Entry]:
        claimed = [(item, etag) for item in garbage if (etag := self._claim(item)) is not None]
        pointer = self._fence(address) if claimed else None
        if pointer is None:
            return []
        deleted, named = [], named_keys(pointer)
        for item, etag in claimed:
            if item.verdict == "sweep":
                deleted += self._delete_but(named | named_keys(_revision(item)), item)
            elif any(entry.key in named for entry in item.entries):
                # Published again before the record was swapped, and nothing of it was deleted since.
                self._restore(item, etag)
            else:
                deleted += self._delete_but(set(), item)
                self._swap(item, marked(None, "collected", datetime.now(UTC)), etag)
        return deleted

    def _delete_but(self, named: set[str], item: Garbage) -> list[Entry]:
        entries = [entry for entry in item.entries if entry.key not in named]
        for entry in entries:
            self.store.delete(entry.key)
        return entries

    def _claim(self, item: Garbage) -> str | None:
        """Step 2; returns the record's etag, or None when somebody else wrote it since it was judged."""
        if item.verdict == "sweep" and item.record:
            return self._swap(item, touched(item.record.content))
        return self._swap(item, marked(item.record, "deleting", datetime.now(UTC)))

    def _fence(self, address: Address) -> Revision | None:
        """Step 3; returns what the pointer says, or None when others keep moving it: then the next run begins again."""
        key = pointer_key(address)
        for _ in range(TRIES):
            found = self.store.read(key)
            if found is None:
                raise Corrupt(f"{self.root}/{key} is missing; materialise {address.asset} {address.partition} again")
            content = touched(found[0])
            try:
                self.store.swap(key, content, found[1])
            except Conflict:
                continue
            return from_json(content, address, self.root, key)
        return None

    def _restore(self, item: Garbage, etag: str | None = None) -> None:
        if revision := _revision(item):
            self._swap(item, to_json(revision, uuid4().hex), etag)

    def _swap(self, item: Garbage, content: bytes, etag: str | None = None) -> str | None:
        """Writes the record over the one with this etag, else over the one that was judged; None when it lost."""
        key = record_key(item.address, item.digest)
        over = etag or (item.record.etag if item.record else None)
        try:
            return self.store.swap(key, content, over) if over else self.store.create(key, content)
        except Conflict:
            return None


def _revision(item: Garbage) -> Revision | None:
    return item.record.revision if item.record else None
