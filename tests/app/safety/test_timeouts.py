"""Nobody can keep the server waiting: slow bodies, dead connections, listeners that do not listen,
jobs that do not end.
"""

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
        limits=Limits(pause_seconds=0.3, body_seconds=0.8, job_seconds=1.0),
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
    head = f"POST /api/photos HTTP/1.1\r\nHost: {hasty.host}\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    assert raw(hasty, head).startswith(b"HTTP/1.1 408")
    assert b"timeout" in raw(hasty, head.replace("image/png", "multipart/form-data; boundary=x"))
    assert raw(
        hasty, head.replace("/api/photos", "/api/jobs").replace("image/png", "application/json")
    ).startswith(b"HTTP/1.1 408")


def test_a_body_that_drips_is_not_waited_for_either(hasty):
    head = f"POST /api/photos HTTP/1.1\r\nHost: {hasty.host}\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
    assert raw(hasty, head, [b"x"] * 20, 0.2).startswith(b"HTTP/1.1 408")
    assert hasty.get("/api/photos").json == {"photos": []} and not any(
        name.startswith("photos/") for name in hasty.files()
    )


def test_a_client_that_leaves_leaves_nothing(hasty):
    before = hasty.files()
    with socket.create_connection(("127.0.0.1", hasty.port)) as connection:
        connection.sendall(
            f"POST /api/photos HTTP/1.1\r\nHost: {hasty.host}\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nx".encode()
        )
    time.sleep(0.1)
    assert not hasty.files() - before and hasty.get("/api/health").status == 200


def test_a_job_that_takes_too_long_is_ended(hasty):
    job = hasty.job(steps=100)
    assert job["state"] == "failed" and "longer than 1 second" in job["error"]
    assert hasty.job()["state"] == "done"
