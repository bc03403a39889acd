"""The guard alone, around an application that only counts; what it does over the wire is in
``safety``.
"""

import asyncio

import pytest

from maquette.app.guard import HEADERS, Guard
from maquette.app.settings import Limits, ServerSettings


def ask(inner, settings, pieces=(), method="POST", headers=()):
    """Status, headers and body of one request with a body in pieces."""

    async def run():
        sent = []
        waiting = list(pieces)

        async def receive():
            body = waiting.pop(0) if waiting else b""
            return {"type": "http.request", "body": body, "more_body": bool(waiting)}

        async def send(message):
            sent.append(message)

        named = [(b"host", b"localhost"), *((k.encode(), v.encode()) for k, v in headers)]
        scope = {
            "type": "http",
            "method": method,
            "path": "/",
            "query_string": b"",
            "headers": named,
        }
        await Guard(inner, settings)(scope, receive, send)
        return (
            sent[0]["status"],
            dict(sent[0]["headers"]),
            b"".join(message.get("body", b"") for message in sent),
        )

    return asyncio.run(run())


async def counting(scope, receive, send):
    total = 0
    while True:
        message = await receive()
        total += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(total).encode()})


@pytest.fixture
def settings(tmp_path):
    return ServerSettings(tmp_path, limits=Limits(upload_bytes=100, json_bytes=10))


def test_bodies_pass_through_whole_and_answers_get_their_headers(settings):
    status, headers, body = ask(counting, settings, [b"x" * 40, b"y" * 60])
    assert (status, body) == (200, b"100") and {
        name.encode(): value.encode() for name, value in HEADERS.items()
    }.items() <= headers.items()


def test_what_is_too_long_is_said_whatever_the_application_makes_of_it(settings):
    async def stubborn(scope, receive, send):
        with pytest.raises(AssertionError):
            while (await receive())["type"] != "http.disconnect":
                pass
            raise AssertionError
        await counting(scope, receive, send)

    for inner in (counting, stubborn):
        status, _, body = ask(inner, settings, [b"x" * 60, b"y" * 60, b"z"])
        assert status == 413 and b"too_large" in body
    assert (
        ask(
            counting,
            settings,
            [b"x" * 11],
            headers=[("content-type", "application/json; charset=utf-8")],
        )[0]
        == 413
    )


def test_other_protocols_are_not_answered(settings):
    async def run():
        sent = []

        async def send(message):
            sent.append(message)

        await Guard(counting, settings)({"type": "websocket", "headers": []}, None, send)
        return sent

    assert asyncio.run(run()) == []
