"""What every request passes before it reaches a route, and every answer on its way out. Plain ASGI,
so that streams are never buffered.

Host: a page of another site that lets its name point to this machine (DNS rebinding) sends that
name, and is refused. Origin: a page of another site that posts here (cross-site request forgery)
sends its origin, and is refused. There is no CORS. Token: compared in constant time. Bodies:
measured while they come in, and not waited for endlessly.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from maquette.app.problems import Problem, too_large
from maquette.app.settings import Settings

COOKIE = "maquette_token"
LINGER_SECONDS = (
    10.0  # the longest that a client is listened to that still sends after its refusal, ...
)
LINGER_PAUSE_SECONDS = 1.0  # ... and the longest pause that it may make
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self' blob:; "
    "worker-src 'self' blob:; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
OURS_ONLY = "this server answers its own page and programs only"
SIGN_IN = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>maquette</title>
<h1>maquette</h1><p>This server asks for the token that it printed when it was started.</p>
<form action="/" method="get"><label>Token <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Open</button></form></html>"""
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application around another one."""

    def __init__(self, inner: Application, settings: Settings) -> None:
        self.inner = inner
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.inner(scope, receive, send)
            return  # there are no web sockets here
        send = _with_headers(send)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        try:
            check_host(headers.get("host", ""), self.settings)
            check_origin(scope["method"], headers)
            if self.settings.token is not None and await self._signed_in(scope, headers, send):
                return
            body = Body(receive, self.settings, headers)
        except Problem as problem:
            if (
                problem.code == "token"
                and "text/html" in headers.get("accept", "")
                and not scope["path"].startswith("/api/")
            ):
                await _send(send, 401, SIGN_IN, {"content-type": "text/html; charset=utf-8"})
            else:
                await answer(send, problem, receive)
            return
        outgoing = _Outgoing(send, receive, body)
        try:
            await self.inner(scope, body.receive, outgoing.send)
        finally:
            await outgoing.finish()

    async def _signed_in(self, scope: Scope, headers: dict[str, str], send: Send) -> bool:
        """Check the token. A right one in the address of a page becomes a cookie; returns whether
        that was the whole answer.
        """
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["method"] == "GET" and "token" in query and not scope["path"].startswith("/api/"):
            check_token(query.pop("token"), self.settings)
            target = scope["path"] + (f"?{urlencode(query)}" if query else "")
            cookie = f"{COOKIE}={self.settings.token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"
            await _send(
                send,
                303,
                b"",
                {"location": target if not target.startswith("//") else "/", "set-cookie": cookie},
            )
            return True
        check_token(_given_token(headers), self.settings)
        return False


def check_host(host: str, settings: Settings) -> None:
    """Refuse a Host header that does not name this server. Problem 421."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower().rstrip(".")
    if name in allowed_hosts(settings):
        return
    if settings.token is not None:
        try:  # an address cannot be rebound, and a stranger has no token
            ipaddress.ip_address(name)
            return
        except ValueError:
            pass
    raise Problem(
        421,
        "host",
        f"this server is not called {name[:80]!r}; use the address it printed, or start it with --allow-host NAME",
    )


def allowed_hosts(settings: Settings) -> set[str]:
    """The names by which this server may be called."""
    names = {
        "localhost",
        "127.0.0.1",
        "::1",
        settings.host.strip("[]").lower(),
        *(name.lower() for name in settings.hosts),
    }
    if settings.token is not None:
        names |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}
    return names - {"0.0.0.0", "::"}


def check_origin(method: str, headers: dict[str, str]) -> None:
    """Refuse requests that a page of another origin makes. Problem 403. Programs send neither
    header.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    navigation = (
        method == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    if site is not None and site not in ("same-origin", "none") and not navigation:
        raise Problem(
            403,
            "origin",
            f"the request comes from a page of another site ({site[:20]}); {OURS_ONLY}",
        )
    foreign = (
        origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
    )
    if foreign and (method not in SAFE_METHODS or site is None):
        raise Problem(403, "origin", f"the request comes from a page of {origin[:80]}; {OURS_ONLY}")


def check_token(given: str, settings: Settings) -> None:
    """Compare in a time that does not depend on what is equal. Problem 401."""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), (settings.token or "").encode()):
        what = "a wrong token" if given else "no token"
        message = f"{what} came; send the one that the server printed as 'Authorization: Bearer TOKEN', or open /?token=TOKEN"
        raise Problem(401, "token", message, {"www-authenticate": "Bearer"})


def _given_token(headers: dict[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


class Body:
    """A request's body on its way in: counted, and given up when it is too long or does not come."""

    def __init__(self, receive: Receive, settings: Settings, headers: dict[str, str]) -> None:
        self._receive = receive
        self._limits = settings.limits
        is_json = (
            headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        )
        self._most = settings.limits.json_bytes if is_json else settings.limits.upload_bytes
        self._seen = 0
        self.complete = False
        self._start = time.monotonic()
        self.problem: Problem | None = None
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:20]) > self._most:
            raise too_large(f"the request has {length[:20]} bytes; at most {self._most} are taken")

    async def receive(self) -> Message:
        """The next piece; what goes wrong is kept as ``problem`` and ends the request."""
        if self.complete:
            return await self._receive()
        left = self._limits.body_seconds - (time.monotonic() - self._start)
        try:
            message = await asyncio.wait_for(
                self._receive(), max(0.0, min(self._limits.pause_seconds, left))
            )
        except asyncio.TimeoutError:  # not the builtin one before Python 3.11
            return self._give_up(
                Problem(
                    408, "timeout", "the body of the request did not come in time; send it again"
                )
            )
        self._seen += len(message.get("body", b""))
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self._seen > self._most:
            return self._give_up(
                too_large(f"the request has more than the {self._most} bytes that are taken")
            )
        return message

    def _give_up(self, problem: Problem) -> Message:
        self.problem = problem
        self.complete = True
        return {"type": "http.disconnect"}


class _Outgoing:
    """The answer on its way out: replaced when the body was given up, however the application took
    that.
    """

    def __init__(self, send: Send, receive: Receive, body: Body) -> None:
        self._send = send
        self._receive = receive
        self._body = body
        self._started = False

    async def send(self, message: Message) -> None:
        """Pass on, unless there is something more important to say. A body that the application did
        not want is heard out.
        """
        if self._body.problem is None or self._started:
            self._started = True
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            await (
                _send_last(self._send, message, self._receive)
                if last and not self._body.complete
                else self._send(message)
            )

    async def finish(self) -> None:
        """Say what was wrong with the body."""
        if self._body.problem is not None and not self._started:
            self._started = True
            await answer(self._send, self._body.problem, self._receive)


async def answer(send: Send, problem: Problem, receive: Receive) -> None:
    """Send a problem as JSON in the middle of a request, hear the client out for a while, and close
    the connection.

    Closing a connection on which something still arrives resets it, and takes back an answer that
    was not read yet.
    """
    headers = {
        "content-type": "application/json",
        "cache-control": "no-store",
        **{k.lower(): v for k, v in problem.headers.items()},
    }
    await _send(
        send,
        problem.status,
        json.dumps(problem.body()).encode(),
        headers | {"connection": "close"},
        receive,
    )


async def _send(
    send: Send, status: int, body: bytes, headers: dict[str, str], receive: Receive | None = None
) -> None:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*pairs, (b"content-length", str(len(body)).encode())],
        }
    )
    message = {"type": "http.response.body", "body": body}
    await (_send_last(send, message, receive) if receive else send(message))


async def _send_last(send: Send, message: Message, receive: Receive) -> None:
    """Send the end of an answer, but end the answer only when the client is through, leaves, pauses
    or takes too long.
    """
    await send({**message, "more_body": True})
    await _hear_out(receive)
    await send({"type": "http.response.body", "body": b""})


async def _hear_out(receive: Receive) -> None:
    end = time.monotonic() + LINGER_SECONDS
    while (left := end - time.monotonic()) > 0:
        try:
            message = await asyncio.wait_for(receive(), min(left, LINGER_PAUSE_SECONDS))
        except asyncio.TimeoutError:  # not the builtin one before Python 3.11
            return
        if message["type"] != "http.request" or not message.get("more_body", False):
            return


def _with_headers(send: Send) -> Send:
    async def outer(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message["headers"]}
            extra = [
                (name.encode(), value.encode())
                for name, value in HEADERS.items()
                if name.encode() not in own
            ]
            if b"cache-control" not in own:
                extra.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return outer
