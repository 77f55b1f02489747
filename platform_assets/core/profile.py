"""A table's profile: one fixed-size summary per column, kept beside the table so that weeks can be compared without rows.

`profile_table` makes it from Parquet files, `combine` merges weeks into one reference, `core.drift` compares two.
The statistics of one column are `core.column_profile`, how they are read is `core.column_scan`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platform_assets.core import column_profile, column_scan
from platform_assets.core.column_profile import ColumnProfile
from platform_assets.core.engine import Engine

VERSION = 1


class ProfileError(ValueError):
    """A table that cannot be profiled, or a document that is not a profile of this version."""


@dataclass(frozen=True)
class Profile:
    """rows = rows of the table; columns by dotted leaf name, in the schema's order (see `column_scan.leaves`)."""

    rows: int
    columns: Mapping[str, ColumnProfile]
    version: int = VERSION

    def to_json(self) -> str:
        """One JSON document; the same profile always gives the same text."""
        import msgspec

        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Profile:
        """The profile that `to_json` wrote. Raises ProfileError for anything else, another version included."""
        import msgspec

        try:
            version = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).get("version")
            if version is None or bytes(version) != str(VERSION).encode():
                raise ProfileError(f"a profile of version {VERSION} is needed, this one has version {version}")
            return msgspec.json.decode(text, type=_Document).profile()
        except msgspec.MsgspecError as error:
            raise ProfileError(f"not a profile: {error}") from error


@dataclass(frozen=True)
class _Document:
    # Mapping is abstract; the reader needs a type that it can build.
    rows: int
    columns: dict[str, ColumnProfile]
    version: int

    def profile(self) -> Profile:
        return Profile(self.rows, self.columns, self.version)


def profile_table(paths: Sequence[Path], *, memory_limit: str = "1GB", threads: int | None = None) -> Profile:
    """The exact profile of the rows of Parquet files of one schema; each leaf column is read once.

    The result depends on the rows alone: not on their order, their spread over files, or `threads` (None = all cores).
    Integers beyond 2^53 are counted as the nearest double. Raises ProfileError for no files and for two leaves of one name.
    """
    if not paths:
        raise ProfileError("no file to profile; an empty table is a file with 0 rows")
    with tempfile.TemporaryDirectory(prefix="profile-") as scratch:
        engine = Engine(Path(scratch), memory_limit=memory_limit, threads=threads)
        with engine.session({"profiled": paths}) as connection:
            leaves = column_scan.leaves(connection, "profiled")
            if twice := [name for name, times in Counter(leaf.name for leaf in leaves).items() if times > 1]:
                raise ProfileError(f"two columns flatten to one name: {twice}")
            rows = connection.execute("SELECT count(*) FROM profiled").fetchall()[0][0]
            return Profile(rows, {leaf.name: column_scan.scan(connection, leaf) for leaf in leaves})


def combine(profiles: Sequence[Profile]) -> Profile:
    """One profile of the rows of all `profiles` (at least one), oldest first: the reference of the trailing weeks.

    Rows, nulls and moments are exact; distinct becomes bounds; distributions are added and thinned again; top counts are
    lower bounds (`column_profile.merge`). The newest profile says which columns there are and of which kind: an older one
    without the column, or with another kind of values under its name, adds nothing to it.
    """
    if not profiles:
        raise ProfileError("no profile to combine")
    columns = {
        name: column_profile.merge(
            [
                profile.columns[name]
                for profile in profiles
                if name in profile.columns and profile.columns[name].kind == newest.kind
            ]
        )
        for name, newest in profiles[-1].columns.items()
    }
    return Profile(sum(profile.rows for profile in profiles), columns)
