"""Which weights a base model is: a local folder by the digest of its files, a hub id by its commit.

Only names and bytes are looked at, so importing this is light. A base folder of the kind "reference" is written here, and
whether what it points to is still the same is checked here: a folder whose files were exchanged would otherwise be trained
on, and served, under the old one's name. What does not belong here: loading anything (`planner.language_model`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platform_assets.core.digest import digest_files, sha256_of
from platform_assets.planner.model_documents import BASE, REFERENCE, BaseModel, ModelError

COMMIT = re.compile(r"[0-9a-f]{40}")
_Stats = frozenset[tuple[str, int, int]]  # name, bytes, nanoseconds of the last change
# Gigabytes are read once in a process, and again only when a file was changed.
_DIGESTS: dict[Path, tuple[_Stats, str]] = {}


@dataclass(frozen=True)
class Identity:
    """What a base model's name means now."""

    model_base: str
    """An absolute folder, or a hub id."""
    revision: str
    """The commit of a hub id; of a folder nothing."""
    digest: str
    """Over a folder's files; of a hub id over id and commit."""


def identify(model_base: str, revision: str) -> Identity:
    """Resolve a local folder, or a hub id at a branch, tag, commit or nothing; raises ModelError.

    The hub is asked only what a name means: a whole commit is taken as it is, without a connection.
    """
    if (source := Path(model_base)).is_dir():
        return Identity(str(source.resolve()), "", folder_digest(source))
    if model_base.startswith(("/", ".", "~")):
        raise ModelError(remedy(model_base, revision, FileNotFoundError(model_base)))
    commit = revision if COMMIT.fullmatch(revision) else _commit(model_base, revision)
    return Identity(model_base, commit, _of_commit(model_base, commit))


def write_reference(model_base: str, revision: str, output: Path, dtype: str = "float32") -> dict[str, Any]:
    """Write the base folder of a local folder or a hub id, whose weights stay where they are; returns base.json."""
    found = identify(model_base, revision)
    document = asdict(BaseModel(found.model_base, found.revision, REFERENCE, found.digest, dtype))
    output.mkdir(parents=True, exist_ok=True)
    (output / BASE).write_text(json.dumps(document, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    return document


def require_unchanged(base: BaseModel) -> None:
    """Raises ModelError where a reference's folder holds other files than when the reference was written."""
    if base.kind != REFERENCE or not Path(base.model_base).is_dir():
        return
    if (digest := folder_digest(Path(base.model_base))) != base.digest:
        raise ModelError(
            f"the folder {base.model_base} was changed since planner/base_model took it: its files have the digest "
            f"{digest}, {BASE} says {base.digest}. Restore the folder, or materialise planner/base_model again and train on it"
        )


def folder_digest(folder: Path) -> str:
    """Over all files of a folder but hidden ones, which are not the model's; raises ModelError where it has no weights."""
    folder = folder.resolve()
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: path for name, path in files.items() if not name.startswith(".")}
    require_weights(folder)
    stats: _Stats = frozenset((name, (stat := path.stat()).st_size, stat.st_mtime_ns) for name, path in files.items())
    known = _DIGESTS.get(folder)
    if known is None or known[0] != stats:
        started = time.monotonic()
        known = _DIGESTS[folder] = stats, digest_files((name, sha256_of(path)) for name, path in files.items())
        logging.getLogger(__name__).info(
            "%s: %d files, %.2f GB, digest %s, read in %.1f s",
            folder, len(files), sum(size for _, size, _ in stats) / 1e9, known[1], time.monotonic() - started,
        )  # fmt: skip
    return known[1]


def require_weights(folder: Path) -> None:
    """Raises ModelError where a folder holds no safetensors at its top; a pickle is none."""
    names = sorted(path.name for path in folder.iterdir())
    if any(name.endswith(".safetensors") for name in names):
        return
    pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth"))]
    if pickled:
        raise ModelError(
            f"{folder} holds its weights as {pickled[0]}, a pickle, which can run code when it is read: convert them with "
            "model.save_pretrained(folder, safe_serialization=True) where you trust them, and give that folder"
        )
    raise ModelError(f"{folder} holds no *.safetensors: give the folder that save_pretrained wrote")


def remedy(source: str, revision: str, error: Exception) -> str:
    """What to say of a base model that could not be had."""
    said = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    at = f"{source} at {revision}" if revision else source
    if Path(source).is_dir():
        return f"the model in {at} could not be loaded ({said}): is it what save_pretrained wrote for a causal language model?"
    if source.startswith(("/", ".", "~")):
        return f"model_base {source} is not a folder here: correct the path, or mount it where the training runs"
    return (
        f"model_base {at} is neither a local folder nor a model that the hub gave ({said}): correct the id and revision; "
        "without a connection download it elsewhere and give its folder; a gated model needs HF_TOKEN"
    )


def _commit(model_base: str, revision: str) -> str:
    """The commit that a hub id's revision means now."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.errors import HTTPError as Unanswered  # pyright: ignore[reportPrivateImportUsage]

    try:
        found = HfApi().model_info(model_base, revision=revision or None, timeout=30).sha
    except (HFValidationError, OfflineModeIsEnabled, Unanswered, OSError) as error:
        raise ModelError(remedy(model_base, revision, error)) from error
    if not found:
        raise ModelError(remedy(model_base, revision, ValueError("the hub named no commit")))
    return found


def _of_commit(model_base: str, commit: str) -> str:
    return hashlib.sha256(f"{model_base}@{commit}".encode()).hexdigest()[:32]
