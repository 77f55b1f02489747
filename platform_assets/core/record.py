"""A digest's record, <path>/revisions/<digest>/revision.json: its first manifest, and what the garbage collector did to it.

    live ──> condemned ──> deleting ──> collected        the collector, by compare-and-swap
      ^──────────┴────────────┴────────────┘             a publisher that needs the digest, by compare-and-swap

condemned: nothing named the revision `since` then; whole and reusable. deleting: its files may be gone. collected: they are;
the record stays, so that nobody can take an old state of it for the present one. Who may do what when is written in
publishing.py and garbage_collection.py; how a manifest is written, in revision.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from platform_assets.core.revision import Address, Revision, from_json, revision_folder
from platform_assets.core.stores import Corrupt, Store

State = Literal["live", "condemned", "deleting", "collected"]
_NO_MANIFEST = "no manifest"


@dataclass(frozen=True)
class Record:
    """A record as read. `since` is when the collector gave it its state, by the collector's clock; "" of a live one.

    `revision` is None when all that was known of it is gone, or when there only ever were a dead writer's files.
    """

    address: Address
    digest: str
    state: State
    since: str
    revision: Revision | None
    content: bytes
    etag: str

    @property
    def is_usable(self) -> bool:
        """Whether nobody is deleting the files."""
        return self.state in ("live", "condemned")


def read_record(store: Store, root: str, address: Address, digest: str) -> Record | None:
    """None when the digest was never recorded. Raises Corrupt when the record cannot be understood."""
    key = record_key(address, digest)
    found = store.read(key)
    if found is None:
        return None
    try:
        document: dict[str, Any] = json.loads(found[0])
        state, since = document.get("state", "live"), document.get("since", "")
    except (ValueError, AttributeError) as error:
        raise Corrupt(f"{root}/{key} is not a record; remove it and materialise the partition again") from error
    revision = None if document.get(_NO_MANIFEST) else from_json(found[0], address, root, key)
    return Record(address, digest, state, since, revision, *found)


def marked(record: Record | None, state: State, since: datetime) -> bytes:
    """The record's bytes in another state, unlike any that were ever written; None stands for files without a record."""
    keeps_manifest = record is not None and record.revision is not None and state != "collected"
    manifest: dict[str, Any] = json.loads(record.content) if record and keeps_manifest else {_NO_MANIFEST: True}
    return touched(manifest | {"state": state, "since": since.isoformat()})


def touched(manifest: bytes | dict[str, Any]) -> bytes:
    """A manifest that says the same in bytes never written before, so that whoever had read it loses his swap."""
    document = json.loads(manifest) if isinstance(manifest, bytes) else manifest
    return (json.dumps(document | {"touched": uuid4().hex}, indent=2) + "\n").encode()


def pointer_key(address: Address) -> str:
    """Where the pointer lies."""
    return f"{address.path}/manifest.json"


def record_key(address: Address, digest: str) -> str:
    """Where a digest's record lies."""
    return f"{address.path}/{revision_folder(digest)}/revision.json"
