"""Nobody can keep the server waiting: slow bodies, dead connections, listeners that do not listen,
jobs that do not end.
"""

import contextlib
import select
import socket
import time

import pytest

from maquette.app.settings import Limits
from tests.app.live import start


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    with start(
        tmp_path_factory.mktemp("hasty"),
        limits=Limits(head_seconds=0.5, pause_seconds=0.3, body_seconds=0.8, job_seconds=1.0),
    ) as live:
        yield live


def raw(live, head, pieces=(), pause=0.0):
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        connection.sendall(head.encode())
        for piece in pieces:
            if select.select([connection], [], [], pause)[0]:  # it has answered
                break
            connection.sendall(piece)
        return b"".join(
            iter(lambda: connection.recv(4096), b"")
        )  # until the server closes: head and body may come apart


def test_a_body_that_does_not_come_is_not_waited_for(hasty):
    head = (
        f"POST /api/photos HTTP/1.1\r\nHost: {hasty.host}\r\nContent-Type: "
        "image/png\r\nContent-Length: 1000\r\n\r\n"
    )
    assert raw(hasty, head).startswith(b"HTTP/1.1 408")
    assert b"timeout" in raw(hasty, head.replace("image/png", "multipart/form-data; boundary=x"))
    assert raw(
        hasty, head.replace("/api/photos", "/api/jobs").replace("image/png", "application/json")
    ).startswith(b"HTTP/1.1 408")


def test_a_body_that_drips_is_not_waited_for_either(hasty):
    head = (
        f"POST /api/photos HTTP/1.1\r\nHost: {hasty.host}\r\nContent-Type: "
        "image/png\r\nContent-Length: 1000\r\n\r\n"
    )
    assert raw(hasty, head, [b"x"] * 20, 0.2).startswith(b"HTTP/1.1 408")
    assert hasty.get("/api/photos").json == {"photos": []} and not any(
        name.startswith("photos/") for name in hasty.files()
    )


def is_closed(connection, patience):
    """Whether the server closes a connection within some seconds."""
    readable, _, _ = select.select([connection], [], [], patience)
    try:
        return bool(readable) and connection.recv(4096) == b""
    except ConnectionResetError:  # closed while something was on its way
        return True


def connected(live):
    return socket.create_connection(("127.0.0.1", live.port), timeout=10)


@pytest.mark.parametrize("said", ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: b"])
def test_a_head_that_does_not_come_is_not_waited_for(hasty, said):
    with connected(hasty) as connection:
        connection.sendall(said.encode())
        assert not is_closed(connection, 0.1) and is_closed(connection, 3)


@pytest.mark.parametrize("before", [0, 1])
def test_a_head_that_drips_is_not_waited_for_either(hasty, before):
    """Neither that of the first request of a connection nor a later one."""
    with connected(hasty) as connection:
        for _ in range(before):
            request = f"GET /api/health HTTP/1.1\r\nHost: {hasty.host}\r\n\r\n"
            connection.sendall(request.encode())
            assert b"200 OK" in connection.recv(4096)
        for _ in range(40):
            try:
                connection.sendall(b"A")
            except OSError:
                break
            if is_closed(connection, 0.1):
                break
        else:
            pytest.fail("the connection stays open")


def test_a_connection_that_is_used_stays(hasty):
    with connected(hasty) as connection:
        for _ in range(8):
            request = f"GET /api/health HTTP/1.1\r\nHost: {hasty.host}\r\n\r\n"
            connection.sendall(request.encode())
            assert b"200 OK" in connection.recv(4096)
            assert not is_closed(connection, 0.1)


def test_silent_connections_of_one_address_shut_nobody_out(tmp_path):
    limits = Limits(connections=40, connections_per_address=20, head_seconds=60)
    with start(tmp_path, limits=limits) as live, contextlib.ExitStack() as opened:
        busy = opened.enter_context(connected(live))
        busy.sendall(f"GET /api/events HTTP/1.1\r\nHost: {live.host}\r\n\r\n".encode())
        assert b"200 OK" in busy.recv(4096)
        silent = [opened.enter_context(connected(live)) for _ in range(60)]
        for _ in range(3):
            assert live.get("/api/health").status == 200
        closed = [is_closed(connection, 0.2) for connection in silent]
        # who is accepted in the same moment has no order
        assert sum(closed) >= 40 and not any(closed[-10:]) and not is_closed(busy, 0.05)


def test_an_address_that_uses_all_its_connections_gets_no_more(tmp_path):
    limits = Limits(connections_per_address=3)
    with start(tmp_path, limits=limits) as live, contextlib.ExitStack() as opened:
        for _ in range(3):
            busy = opened.enter_context(connected(live))
            busy.sendall(f"GET /api/events HTTP/1.1\r\nHost: {live.host}\r\n\r\n".encode())
            assert b"200 OK" in busy.recv(4096)
        with connected(live) as another:
            assert is_closed(another, 3)


def test_a_client_that_leaves_leaves_nothing(hasty):
    before = hasty.files()
    with socket.create_connection(("127.0.0.1", hasty.port)) as connection:
        connection.sendall(
            f"POST /api/photos HTTP/1.1\r\nHost: {hasty.host}\r\nContent-Type: "
            "image/png\r\nContent-Length: 99\r\n\r\nx".encode()
        )
    time.sleep(0.1)
    assert not hasty.files() - before and hasty.get("/api/health").status == 200


def test_a_job_that_takes_too_long_is_ended(hasty):
    job = hasty.job(steps=100)
    assert job["state"] == "failed" and "longer than 1 second" in job["error"]
    assert hasty.job()["state"] == "done"
