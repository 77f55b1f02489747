"""A reverse proxy that fails as told, in front of any real server: S3, MLflow, Postgres.

`FaultProxy` speaks HTTP, one request per connection, and forwards what it read unchanged but for the hop's own headers, so
that signatures over Host and body still hold. `TcpProxy` passes bytes both ways and knows no protocol. What a test
expects of a client under these faults does not belong here.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

Kind = Literal["unavailable", "reset_before", "reset_after", "delay"]
# A Unix socket's path, or host and port.
Upstream = str | tuple[str, int]
FOREVER = 1_000_000_000
CHUNK_BYTES = 64 * 1024
_SLOW_DOWN = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>slow</Message></Error>'


@dataclass
class Fault:
    """What happens to the next `times` requests of this method (any, when empty) whose target matches `path`.

    unavailable: answered 503 SlowDown, not forwarded. reset_before: connection reset, not forwarded. reset_after: forwarded,
    and when the server has answered, reset instead of answering. delay: forwarded after `seconds`.
    """

    kind: Kind
    times: int = 1
    method: str = ""
    path: str = ""
    seconds: float = 0

    def matches(self, method: str, target: str) -> bool:
        return self.times > 0 and self.method in ("", method) and re.search(self.path, target) is not None


class TcpProxy:
    """Accepts connections at `port` from the start of the `with` block to its end, one thread each."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream, self.port = upstream, 0
        self._lock, self._open = threading.Lock(), set[socket.socket]()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()

    def accept(self) -> None:
        """Take connections (again), always at the same port."""
        self._listener = listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._serve, args=[listener], daemon=True).start()

    def refuse(self) -> None:
        """Refuse new connections, as a server that is gone, and reset those there are."""
        if self._listener is not None:
            # close() alone would leave the accepting thread, and with it the port, open.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.reset()

    def reset(self) -> None:
        """Reset every connection there is; new ones are taken."""
        with self._lock:
            _reset(*self._open)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._guarded, args=[client], daemon=True).start()

    def _guarded(self, client: socket.socket) -> None:
        # A connection that breaks is what this proxy is for, whichever side broke it.
        with suppress(OSError), self._held(client):
            self._handle(client)

    def _handle(self, client: socket.socket) -> None:
        with self._held(self._connect()) as server:
            back = threading.Thread(target=_pump, args=[server, client], daemon=True)
            back.start()
            _pump(client, server)
            back.join()

    def _connect(self) -> socket.socket:
        if not isinstance(self.upstream, str):
            return socket.create_connection(self.upstream)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.upstream)
        return connection

    @contextmanager
    def _held(self, connection: socket.socket) -> Iterator[socket.socket]:
        with self._lock:
            self._open.add(connection)
        try:
            yield connection
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


class FaultProxy(TcpProxy):
    """In front of an HTTP server at `url`; `requests` lists (method, target) of all that came, in order."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        super().__init__((place.hostname or "", place.port or 80))
        self.requests: list[tuple[str, str]] = []
        self._faults: list[Fault] = []

    @property
    def url(self) -> str:
        """What clients use instead of the server's address."""
        return f"http://127.0.0.1:{self.port}"

    def plan(self, *faults: Fault) -> None:
        """From now on these happen, and no others; the first that matches is used up first."""
        with self._lock:
            self._faults = list(faults)

    def left(self) -> int:
        """How many planned faults have not happened."""
        with self._lock:
            return sum(fault.times for fault in self._faults)

    def _handle(self, client: socket.socket) -> None:
        request = _read_request(client)
        if request is None:
            return
        method, target, content = request
        fault = self._take(method, target)
        kind = fault.kind if fault else None
        if kind == "unavailable":
            client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n")
            client.sendall(b"Content-Length: %d\r\n\r\n" % len(_SLOW_DOWN) + (b"" if method == "HEAD" else _SLOW_DOWN))
        elif kind == "reset_before":
            _reset(client)
        else:
            time.sleep(fault.seconds if fault else 0)
            self._forward(client, content, answer=kind != "reset_after")

    def _forward(self, client: socket.socket, content: bytes, answer: bool) -> None:
        with self._held(self._connect()) as server:
            server.sendall(content)
            while chunk := server.recv(CHUNK_BYTES):
                if answer:
                    client.sendall(chunk)
        if not answer:
            _reset(client)

    def _take(self, method: str, target: str) -> Fault | None:
        with self._lock:
            self.requests.append((method, target))
            for fault in self._faults:
                if fault.matches(method, target):
                    fault.times -= 1
                    return fault
        return None


def _read_request(client: socket.socket) -> tuple[str, str, bytes] | None:
    """Method, target and all bytes of one request; None when the client only connected.

    Raises ConnectionResetError when the client died while it sent: half a request, forwarded, would make the server wait for
    the rest for ever.
    """
    stream = client.makefile("rb")
    first = stream.readline()
    if not first:
        return None
    if not first.endswith(b"\n"):
        raise ConnectionResetError("the client died while it sent")
    method, target, _ = first.decode("latin-1").split(" ", 2)
    lines, length, chunked = [first], 0, False
    while (line := _whole(stream.readline())) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        match name.lower():
            case "connection" | "keep-alive":
                continue
            case "expect":
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                continue
            case "content-length":
                length = int(value)
            case "transfer-encoding":
                chunked = True
        lines.append(line)
    lines.append(b"Connection: close\r\n\r\n")
    lines += _read_chunks(stream) if chunked else [_whole(stream.read(length), length)]
    return method, target, b"".join(lines)


def _whole(content: bytes, length: int = 1) -> bytes:
    if len(content) < length:
        raise ConnectionResetError("the client died while it sent")
    return content


def _read_chunks(stream) -> Iterator[bytes]:
    while True:
        head = _whole(stream.readline())
        size = int(head.partition(b";")[0], 16)
        yield head
        yield _whole(stream.read(size + 2), size + 2)
        if size == 0:
            return


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
        return
    # A connection that one side reset must not look to the other like one that was closed in good order.
    _reset(target)


def _reset(*connections: socket.socket) -> None:
    """Send RST: without lingering, what was not read or sent is dropped.

    A thread that waits in recv() would keep the connection open: SHUT_RD wakes it, once it can no longer pass the end on.
    """
    descriptors = []
    for connection in connections:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            descriptors.append(connection.detach())
    for descriptor in descriptors:
        with socket.socket(fileno=descriptor) as connection, suppress(OSError):
            connection.shutdown(socket.SHUT_RD)
