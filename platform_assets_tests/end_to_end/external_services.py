"""deploy/compose.yaml for this machine: the commands and settings that stand in it; only addresses and ports are translated.

For two services others stand here: `own_services.own_postgres` and `lake_stores.rclone`. What is started belongs to the tests.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
# ${NAME}, ${NAME:-default} and ${NAME:?message}; a default may hold another one.
_REFERENCE = re.compile(r"\$\{(\w+)(?::([-?])((?:[^${}]|\$\{[^{}]*\})*))?\}")


def read_compose() -> dict[str, Any]:
    """The file as it stands, merged but not interpolated."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """What Docker Compose does with ${...}; a required value that is missing is a KeyError that names it."""

    def value(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        if found := values.get(name):
            return found
        if operator == "-":
            return interpolate(default, values)
        raise KeyError(name)

    return _REFERENCE.sub(value, text)


@dataclass(frozen=True)
class Compose:
    """deploy/compose.yaml on this machine: `values` stand for .env, `addresses` for what Docker's network resolves."""

    values: Mapping[str, str]
    addresses: Mapping[str, str]
    services: Mapping[str, Any] = field(default_factory=lambda: read_compose()["services"])

    def environment(self, service: str) -> dict[str, str]:
        """What the service's process sees."""
        given = self.services[service].get("environment", {})
        return {name: self.translate(interpolate(text, self.values)) for name, text in given.items()}

    def command(self, service: str) -> list[str]:
        """Program and arguments, without the image's init."""
        entry = [word for word in self.services[service].get("entrypoint", []) if word not in ("tini", "--")]
        return self._on_this_machine([*entry, *self.services[service].get("command", [])])

    def health_check(self, service: str) -> list[str]:
        """The command that tells whether the service is well."""
        return self._on_this_machine(self.services[service]["healthcheck"]["test"][1:])

    def translate(self, text: str) -> str:
        """Addresses of Docker's network to addresses of this machine: whole words, and host:port inside of URLs."""
        if text in self.addresses:
            return self.addresses[text]
        # In one pass: what was translated must not be translated again.
        parts = "|".join(re.escape(inside) for inside in self.addresses if ":" in inside)
        return re.sub(rf"(?:{parts})(?!\d)", lambda found: self.addresses[found.group()], text)

    def _on_this_machine(self, words: list[str]) -> list[str]:
        program, *arguments = [self.translate(interpolate(word, self.values)) for word in words]
        return [str(found) if (found := BIN / program).exists() else program, *arguments]
