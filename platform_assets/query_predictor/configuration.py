"""The pipeline's configuration, read from YAML or from a mapping: every documented key, or its default.

Dagster's config is the same table: `config_class(dg.Config)` makes the class of an asset's config, `from_mapping` reads what
Dagster then hands over. An unknown key is refused by its path. Keys of Spark, of checkpointing and of code packaging are
refused by name: partitions and the lake replace them. What does not belong here: what each key means (`documented_keys`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from platform_assets.query_predictor.documented_keys import Configuration

_PARTITIONS = "partitions and the lake replace it: "
REPLACED: dict[str, str] = {
    **dict.fromkeys(
        ("spark", "emr"),
        _PARTITIONS + "a day is loaded and a week is sampled by the embedded engine, within its memory limit",
    ),
    **dict.fromkeys(
        ("checkpointing", "checkpoint", "checkpoints"),
        _PARTITIONS + "every step is published per day or week, and a run goes on at the first one that is missing",
    ),
    **dict.fromkeys(
        ("code_packaging", "packaging", "code_package"),
        _PARTITIONS + "every revision records its code version, and the package is installed, not uploaded",
    ),
    **dict.fromkeys(("s3", "paths", "output"), _PARTITIONS + "set PLATFORM_LAKE_URL, once for all steps"),
}


class ConfigurationError(ValueError):
    """A key or a value that cannot be used; the message names its path and the remedy."""


def from_mapping(content: Mapping[str, Any] | None) -> Configuration:
    """The configuration of nested keys; those left out take their defaults. Raises ConfigurationError."""
    _refuse_replaced(content or {})
    try:
        return msgspec.convert(dict(content or {}), Configuration)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_explained(str(error))) from None


def from_yaml(path: Path, defaults: Mapping[str, Mapping[str, Any]] | None = None) -> Configuration:
    """The configuration of a YAML file; `defaults` stand below what it says. Raises ConfigurationError with the file's name."""
    try:
        content = msgspec.yaml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, Mapping | None):
        raise ConfigurationError(f"{path} must hold keys and values, not {type(content).__name__}")
    try:
        return from_mapping(_above(defaults or {}, content or {}))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _above(defaults: Mapping[str, Mapping[str, Any]], content: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key of each section, `content` first. What is no section is left for its check to refuse."""
    found = {name: {**values} for name, values in defaults.items()}
    for name, values in content.items():
        found[name] = {**found[name], **values} if name in found and isinstance(values, Mapping) else values
    return found


def to_mapping(configuration: Configuration) -> dict[str, Any]:
    """Plain values under the documented keys, as they are stored with a model; `from_mapping` reads them."""
    return msgspec.json.decode(msgspec.json.encode(configuration))


def config_class(base: type) -> type[Any]:
    """A subclass of `base` (dagster's Config) with every key, its default and its description, nested as they are."""
    return _config_class(Configuration, base)


def _config_class(struct: type[Struct], base: type) -> type[Any]:
    import pydantic

    fields: dict[str, Any] = {}
    for item in msgspec.structs.fields(struct):
        kind, description = _kind(struct, item.name)
        if isinstance(kind, type) and issubclass(kind, Struct):
            nested = _config_class(kind, base)
            fields[item.name] = (nested, pydantic.Field(default=nested(), description=description))
        else:
            plain = msgspec.to_builtins(item.default)
            default = list(plain) if isinstance(plain, tuple) else plain
            fields[item.name] = (_plain(kind), pydantic.Field(default=default, description=description))
    return pydantic.create_model(f"{struct.__name__}Config", __base__=base, __doc__=struct.__doc__, **fields)


def _kind(struct: type[Struct], name: str) -> tuple[Any, str]:
    kind, *notes = get_args(get_type_hints(struct, include_extras=True)[name])
    return kind, next(note.description or "" for note in notes if isinstance(note, Meta))


def _plain(kind: Any) -> Any:
    """The type as Dagster's config knows it: no dates, no tuples, no literals."""
    if get_origin(kind) is tuple:
        return list[str]
    if get_origin(kind) is Literal:
        return str
    return str | None if type(None) in get_args(kind) else kind


def _refuse_replaced(content: Mapping[str, Any]) -> None:
    sections = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    places = [(name, name) for name in content]
    places += [(f"{section}.{name}", name) for section, inner in sections.items() for name in inner]
    for path, name in places:
        if str(name).lower() in REPLACED:
            raise ConfigurationError(f"{path} is not a key here; {REPLACED[str(name).lower()]}. Take it out")


def _explained(message: str) -> str:
    path = re.search(r" - at `\$\.?([^`]*)`", message)
    problem, place = re.sub(r" - at `.*", "", message), path[1] if path else ""
    if not (unknown := re.search(r"unknown field `(.*)`", problem)):
        return f"{place}: {problem}" if place else problem
    known = Configuration
    for name in filter(None, place.split(".")):
        known = _kind(known, name)[0]
    key = f"{place}.{unknown[1]}" if place else unknown[1]
    return f"{key} is no key; the keys there are {', '.join(item.name for item in msgspec.structs.fields(known))}"
