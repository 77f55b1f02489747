"""A dataclass as the one source of a program's options: its fields are the arguments, their docstrings the help.

Read from the source, so that what a reader of the code sees, what `--help` says and what is accepted are the same text.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from platform_assets.core.settings import SettingError
from platform_assets.core.step import words

Options = TypeVar("Options")


def field_docs(kind: type) -> dict[str, str]:
    """The text under each field of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def add_arguments(parser: argparse.ArgumentParser, kind: type) -> None:
    """One argument a field: numbers and texts as such, a bool as a switch, a tuple as names joined by commas.

    A tuple of paths is given by repeating the argument. A field without a default is required.
    """
    docs, types = field_docs(kind), get_type_hints(kind)
    for field in fields(kind):
        required = field.default is MISSING
        shown = "" if required or field.default in ("", (), None, False) else f" (default {_shown(field.default)})"
        arguments: dict[str, Any] = {"help": (docs[field.name] + shown).replace("%", "%%")}
        if types[field.name] is bool:
            arguments |= {"action": argparse.BooleanOptionalAction, "default": field.default}
        elif types[field.name] == tuple[Path, ...]:
            arguments |= {"action": "append", "type": Path, "required": required}
        else:
            arguments |= {"type": _parser(types[field.name]), "required": required}
            arguments |= {} if required else {"default": field.default}
        parser.add_argument(f"--{field.name}", **arguments)


def read(kind: Callable[..., Options], parsed: argparse.Namespace) -> Options:
    """The options that were given; raises whatever the class raises for values that do not go together."""
    values = {field.name: getattr(parsed, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def read_words(kind: Callable[..., Options], line: Sequence[str], module: str) -> Options:
    """The options that `python -m module` would read of a command line, for whoever decides before it runs.

    Raises ValueError naming an option that is wrong.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", exit_on_error=False, add_help=False, allow_abbrev=False
    )
    add_arguments(parser, kind)  # type: ignore[arg-type]
    try:
        parsed, unknown = parser.parse_known_args(line)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from None
    if unknown:
        raise ValueError(f"{' '.join(unknown)} is no option of python -m {module}")
    return read(kind, parsed)


def checked_setting(
    setting: str, given: Mapping[str, str], kind: Callable[..., Options], module: str, decided: Collection[str]
) -> Mapping[str, str]:
    """The options of a retraining, as an asset takes them, held to the program's own.

    When definitions load, so that a wrong one stops the start and not every training weeks later. `decided` are those that the
    week and the step decide. Raises SettingError naming the setting and the option that cannot be.
    """
    if wrong := sorted(set(decided) & given.keys()):
        raise SettingError(f"{setting}: {', '.join(wrong)}: decided by the week; leave it out")
    # A required option is one of the decided: any text stands for it here.
    required = {field.name: "." for field in fields(kind) if field.default is MISSING}  # type: ignore[arg-type]
    try:
        read_words(kind, words({**required, **given}), module)
    except ValueError as error:
        raise SettingError(f"{setting}: {error}; python -m {module} --help lists the options") from None
    return given


def _parser(kind: Any) -> Callable[[str], Any]:
    if kind == tuple[str, ...]:
        return _names
    return next((part for part in get_args(kind) if part is not type(None)), kind)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
