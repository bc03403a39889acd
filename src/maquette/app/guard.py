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
import socket
import time
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maquette.app.problems import Problem, too_large
from maquette.app.settings import Limits, ServerSettings

COOKIE = "maquette_token"
COOKIE_SECONDS = 30 * 24 * 3600
# A client that still sends after its refusal is listened to, ...
LINGER_SECONDS = 10.0  # ... so long at most, ...
LINGER_PAUSE_SECONDS = 1.0  # ... and with such a pause at most
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' blob:; worker-src 'self' blob:; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
OURS_ONLY = "this server answers its own page and programs only"
SIGN_IN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>maquette</title>
<h1>maquette</h1><p>This server asks for the token that it printed when it was started.</p>
<form action="/" method="get"><label>Token
<input name="token" type="password" autocomplete="current-password" required autofocus></label>
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


class Guard:
    """An ASGI application around another one."""

    def __init__(self, inner: ASGIApp, settings: ServerSettings) -> None:
        self.inner = inner
        self.settings = settings

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Check a request, then pass it on."""
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
        if scope["type"] != "http":
            return  # there are no web sockets here
        request = Request(scope)
        exchange = Exchange(receive, send, self.settings.limits, request.headers)
        refusal = self._refusal(request, exchange)
        if refusal is not None:
            await refusal(scope, exchange.receive, exchange.send)
            return
        try:
            await self.inner(scope, exchange.receive, exchange.send)
        finally:
            await exchange.finish(scope)

    def _refusal(self, request: Request, exchange: Exchange) -> Response | None:
        """The answer to a request that does not reach the application."""
        token = self.settings.token
        try:
            check_host(request.headers.get("host", ""), self.settings)
            check_origin(request.method, request.headers)
            if token is not None:
                given = request.query_params.get("token")
                if given is not None and _is_page(request):
                    check_token(given, token)
                    return _entered(request, token)
                check_token(_given_token(request), token)
            exchange.check_length()
        except Problem as problem:
            wants_page = "text/html" in request.headers.get("accept", "")
            if problem.code == "token" and wants_page and not _is_api(request):
                return HTMLResponse(SIGN_IN, 401)
            return problem.response(close=True)
        return None


def _is_api(request: Request) -> bool:
    return request.scope["path"].startswith("/api/")


def _is_page(request: Request) -> bool:
    return request.method == "GET" and not _is_api(request)


def _entered(request: Request, token: str) -> Response:
    """A right token in the address of a page becomes a cookie; the page follows without it."""
    others = [item for item in request.query_params.multi_items() if item[0] != "token"]
    # quoted, and with one slash: no path leads to another server
    path = quote("/" + request.scope["path"].lstrip("/\\"))
    response = RedirectResponse(f"{path}?{urlencode(others)}" if others else path, 303)
    response.set_cookie(COOKIE, token, COOKIE_SECONDS, httponly=True, samesite="strict")
    return response


def check_host(host: str, settings: ServerSettings) -> None:
    """Refuse a Host header that does not name this server. Problem 421."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower().rstrip(".")
    if name in allowed_hosts(settings):
        return
    # an address cannot be rebound, and a stranger has no token
    if settings.token is None or not _is_address(name):
        raise Problem(
            421,
            "host",
            f"this server is not called {name[:80]!r}; "
            "use the address it printed, or start it with --allow-host NAME",
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def allowed_hosts(settings: ServerSettings) -> set[str]:
    """The names by which this server may be called."""
    names = {"localhost", "127.0.0.1", "::1", settings.host.strip("[]").lower()}
    names.update(name.lower() for name in settings.hosts)
    if settings.token is not None:
        machine = socket.gethostname().lower()
        names |= {machine, f"{machine}.local"}
    return names - {"0.0.0.0", "::"}


def content_type(headers: Headers) -> str:
    """What a request says that its body is."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def check_origin(method: str, headers: Headers) -> None:
    """Refuse requests that a page of another origin makes. Problem 403. Programs send neither
    header.
    """
    site = headers.get("sec-fetch-site", "none")
    follows_link = (
        method == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    if site not in ("same-origin", "none") and not follows_link:
        raise _foreign(f"another site ({site[:20]})")
    origin = headers.get("origin")
    if origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower():
        return
    if method not in SAFE_METHODS or "sec-fetch-site" not in headers:
        raise _foreign(origin[:80])


def _foreign(page: str) -> Problem:
    return Problem(403, "origin", f"the request comes from a page of {page}; {OURS_ONLY}")


def check_token(given: str, token: str) -> None:
    """Compare in a time that does not depend on what is equal. Problem 401."""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        message = (
            f"{'a wrong token' if given else 'no token'} came; send the one that the server "
            "printed as 'Authorization: Bearer TOKEN', or open /?token=TOKEN"
        )
        raise Problem(401, "token", message, {"www-authenticate": "Bearer"})


def _given_token(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")


class Exchange:
    """One request on its way in and its answer on its way out.

    The body is counted, and given up when it is too long or does not come; then the answer is
    replaced, however the application took that. A client whose body is not wanted is heard out
    before the answer ends: closing a connection on which something still arrives resets it, and
    takes back an answer that was not read yet.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        limits: Limits,
        headers: Headers,
    ) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._length = headers.get("content-length", "0")
        kind = content_type(headers)
        self._most = limits.json_bytes if kind == "application/json" else limits.upload_bytes
        self._start = time.monotonic()
        self._seen = 0
        self._complete = False
        self._answered = False
        self._problem: Problem | None = None

    def check_length(self) -> None:
        """Refuse a body that says itself that it is too long. Problem 413."""
        length = self._length
        if not length.isascii() or not length.isdigit() or int(length[:20]) > self._most:
            raise too_large(f"the request has {length[:20]} bytes; at most {self._most} are taken")

    async def receive(self) -> Message:
        """The next piece of the body; what goes wrong with it ends the request."""
        if self._complete:
            return await self._receive()
        left = self._limits.body_seconds - (time.monotonic() - self._start)
        patience = max(0.0, min(self._limits.pause_seconds, left))
        try:
            message = await asyncio.wait_for(self._receive(), patience)
        except asyncio.TimeoutError:  # not the builtin one before Python 3.11
            return self._give_up(
                Problem(408, "timeout", "the body of the request did not come in time; repeat it")
            )
        self._seen += len(message.get("body", b""))
        self._complete = _is_last(message)
        if self._seen > self._most:
            return self._give_up(
                too_large(f"the request has more than the {self._most} bytes that are taken")
            )
        return message

    def _give_up(self, problem: Problem) -> Message:
        self._problem = problem
        self._complete = True
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Pass on, unless there is something more important to say."""
        if self._problem is not None and not self._answered:
            return
        if message["type"] == "http.response.start":
            self._answered = True
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, "cache-control": "no-store"}.items():
                headers.setdefault(name, value)
        ends = message["type"] == "http.response.body" and not message.get("more_body", False)
        if ends and not self._complete:
            await self._send({**message, "more_body": True})
            await self._hear_out()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def finish(self, scope: Scope) -> None:
        """Say what was wrong with the body."""
        problem = self._problem
        if problem is not None and not self._answered:
            self._problem = None
            self._complete = False
            await problem.response(close=True)(scope, self._receive, self.send)

    async def _hear_out(self) -> None:
        """Wait until the client is through, leaves, pauses or takes too long."""
        end = time.monotonic() + LINGER_SECONDS
        while (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), min(left, LINGER_PAUSE_SECONDS))
            except asyncio.TimeoutError:  # not the builtin one before Python 3.11
                return
            if _is_last(message):
                return


def _is_last(message: Message) -> bool:
    return message["type"] != "http.request" or not message.get("more_body", False)
