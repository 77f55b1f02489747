"""The proxy that other tests trust: it passes real servers' traffic unharmed, and fails exactly as planned."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from platform_assets.core.lake import Lake
from platform_assets_tests.core.lake_cases import ADDRESS, TABLE, ids_of, publish
from platform_assets_tests.fault_proxy import FOREVER, Fault, FaultProxy, TcpProxy
from platform_assets_tests.lake_stores import Server


@pytest.fixture
def proxy(moto: Server) -> Iterator[FaultProxy]:
    with FaultProxy(moto.endpoint) as proxy:
        yield proxy


def ask(proxy: FaultProxy, method: str = "GET", target: str = "/") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    connection.request(method, target)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


@pytest.mark.parametrize("server", ["rclone", "moto"])
def test_signed_requests_pass_unharmed(
    server: str, request: pytest.FixtureRequest, monkeypatch, tmp_path: Path
) -> None:
    upstream: Server = request.getfixturevalue(server)
    with FaultProxy(upstream.endpoint) as proxy:
        url = upstream.use(monkeypatch, AWS_ENDPOINT_URL=proxy.url)
        lake = Lake(url, single_writer=upstream.single_writer)
        revision = publish(lake, tmp_path, [1, 2]).revision
        assert ids_of(lake, revision, tmp_path / "scratch") == [1, 2]
        large = tmp_path / "large"
        large.write_bytes(bytes(40 * 1024 * 1024))
        lake.store.put_file("large", large)
        assert lake.store.size("large") == large.stat().st_size
    assert any(method == "PUT" and TABLE in target for method, target in proxy.requests)
    assert any("uploadId" in target for _, target in proxy.requests)


def test_a_fault_happens_as_often_as_planned_and_only_where_planned(proxy: FaultProxy) -> None:
    proxy.plan(Fault("unavailable", times=2, method="GET", path="^/that"))
    assert ask(proxy, "GET", "/this") != 503
    assert ask(proxy, "HEAD", "/that") != 503
    assert [ask(proxy, "GET", "/that") == 503 for _ in range(3)] == [True, True, False]
    assert proxy.left() == 0


@pytest.mark.parametrize(
    "half", [b"PUT /ha", b"PUT /half HTTP/1.1\r\nHost:", b"PUT /half HTTP/1.1\r\nContent-Length: 9\r\n\r\nhal"]
)
def test_half_a_request_of_a_client_that_died_is_not_forwarded(proxy: FaultProxy, half: bytes) -> None:
    """The server would wait for the rest, and this one answers nobody else meanwhile."""
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.sendall(half)
    assert ask(proxy, "GET", "/this")
    assert [target for _, target in proxy.requests] == ["/this"]


def test_a_reset_before_is_not_forwarded_and_a_reset_after_is(moto: Server, proxy: FaultProxy, monkeypatch) -> None:
    lake, direct = Lake(moto.use(monkeypatch, AWS_ENDPOINT_URL=proxy.url)), Lake(moto.use(monkeypatch))
    for kind, forwarded in (("reset_before", False), ("reset_after", True)):
        proxy.plan(Fault(kind, times=FOREVER))
        with pytest.raises((ConnectionError, http.client.BadStatusLine)):
            ask(proxy, "PUT", f"/{kind}")
        assert (ask_directly(moto, f"/{kind}") == 200) is forwarded
    assert lake.root != direct.root


def ask_directly(server: Server, target: str) -> int:
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=60)
    connection.request("GET", target)
    return connection.getresponse().status


def test_a_refused_connection_is_taken_again_at_the_same_port(proxy: FaultProxy) -> None:
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        ask(proxy)
    proxy.accept()
    assert proxy.port == port
    assert ask(proxy) < 500


def test_postgres_connections_pass_and_can_be_reset(postgres_url: str) -> None:
    known = psycopg.conninfo.conninfo_to_dict(postgres_url)
    folder = str(known["host"])
    assert folder.startswith("/")
    with TcpProxy(f"{folder}/.s.PGSQL.{known.get('port', 5432)}") as proxy:
        url = f"postgresql://{known['user']}@127.0.0.1:{proxy.port}/{known['dbname']}"
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            waiting = threading.Timer(0.5, proxy.reset)
            waiting.start()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT pg_sleep(60)")
        with psycopg.connect(url) as connection:
            proxy.reset()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=5)
        proxy.accept()
        psycopg.connect(url).close()


def test_a_client_that_only_connects_does_no_harm(proxy: FaultProxy) -> None:
    socket.create_connection(("127.0.0.1", proxy.port)).close()
    assert ask(proxy) < 500
    assert ADDRESS.path not in str(proxy.requests)
