"""Addresses and errors as they may be shown: without what lets somebody in.

A URL that cannot be read without doubt (a password with an unencoded `/` or `@`, say) shows nothing but its scheme: its parts
would show parts of the password. What does not belong here: guessing secrets in free text (`orchestration.alert_text`).
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

UNREADABLE = "the URL cannot be read; write / @ : # ? and % of its user and password percent-encoded"
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*(?=://)")
_SECRET_NAME = re.compile(r"passw|pwd|secret|token|key|credential|signature", re.IGNORECASE)
_HIDDEN = "***"


def without_password(url: str) -> str:
    """The URL as it may be shown in a log, wherever in it the password stands; what is no URL is shown unless it may hold one."""
    if not _SCHEME.match(url):
        return _HIDDEN if "=" in url and _SECRET_NAME.search(url) else url
    parts = _parts(url)
    if parts is None:
        return f"{url.partition('://')[0]}://{_HIDDEN}"
    query = urlencode(
        [(name, _HIDDEN if _SECRET_NAME.search(name) else value) for name, value in parse_qsl(parts.query)], safe="/*"
    )
    return urlunsplit(parts._replace(netloc=_shown_netloc(parts), query=query, fragment=""))


def without_user(url: str) -> str:
    """The URL as a link for people: whoever follows it signs in as himself."""
    parts = _parts(url)
    return url if parts is None else urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def hide_in(text: str, url: str) -> str:
    """A text about a URL, such as a driver's error, without the URL's secrets."""
    shown, parts = without_password(url), _parts(url)
    if parts is None or shown == _HIDDEN:
        return UNREADABLE
    # As written and as read; the longest first, so that no rest of it stays.
    password = parts.password or ("" if parts.scheme.startswith("postgres") else parts.username or "")
    secrets = {password, unquote(password)}
    secrets |= {value for name, value in parse_qsl(parts.query) if _SECRET_NAME.search(name)}
    text = text.replace(url, shown)
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def _parts(url: str) -> SplitResult | None:
    """None for a URL whose password may have been torn apart by a character that had to be encoded."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is no number
    except ValueError:
        return None
    rest = "".join((parts.path, parts.query, parts.fragment))
    return None if "@" in rest or "@" in parts.netloc.rpartition("@")[0] else parts


def _shown_netloc(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    if not password:
        # A database's user without a password is a name; a web server's is a token.
        return parts.netloc if parts.scheme.startswith("postgres") or not at else f"{_HIDDEN}@{host}"
    return f"{name}:{_HIDDEN}@{host}"
