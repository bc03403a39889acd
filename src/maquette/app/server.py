"""The application, and running it: listen, say where, open the browser, stop cleanly."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable, Sequence
from os import PathLike, stat_result
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DBAPIError, OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from maquette import __version__
from maquette.app import claims
from maquette.app.connections import BoundedConnection
from maquette.app.crew import Crew
from maquette.app.finders import GRABCUT, Finders
from maquette.app.guard import Guard
from maquette.app.problems import Problem, problem_of
from maquette.app.routes import jobs, photos, scenes, system
from maquette.app.settings import Limits, ServerSettings, is_loopback
from maquette.app.studio import Studio
from maquette.errors import InputError, MaquetteError, OutputError
from maquette.export.bundle import assets_folder
from maquette.types import JsonObject

ABOUT = (
    "One photo in, an editable 3D scene out. Photos and masks go in, jobs make scenes of them, "
    "scenes are edited and exported."
)
FOLDERS = ("app", "three", "viewer")  # of the package's files, served as they are
BACKLOG = 256  # connections that wait to be taken
LONGEST_HEAD = 32 << 10  # bytes
QUOTED = 200  # characters of another program's message that one of ours repeats
HTTP_CODES = {
    404: "not_found",
    405: "method",
    422: "input",
}


def create_app(studio: Studio, worker: Sequence[str] | None = None) -> FastAPI:
    """The application; its workers run while it does, and it closes the studio. ``worker``: another
    command of their language. OutputError when the disk is too full to begin.
    """
    try:
        claims.recover(studio)
    except (OSError, DBAPIError) as error:
        studio.close()
        reason = getattr(error, "orig", error)
        raise OutputError(
            f"{studio.settings.data}: cannot be written ({reason}); make room, and start again"
        ) from error
    return application(studio, Crew(studio, worker))


def application(studio: Studio, crew: Crew) -> FastAPI:
    """The application of a studio and those who work for it."""
    app = FastAPI(
        title="maquette",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=functools.partial(_life, studio, crew),
    )
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    for routes in (system, photos, jobs, scenes):
        app.include_router(routes.router)
    for folder in FOLDERS:
        app.mount(f"/{folder}", _Unchanging(directory=assets_folder() / folder))
    app.add_middleware(Guard, settings=studio.settings)
    return app


@contextlib.asynccontextmanager
async def _life(studio: Studio, crew: Crew, app: FastAPI) -> AsyncIterator[None]:
    app.state.studio = studio
    app.state.crew = crew
    crew.start()
    try:
        yield
    finally:
        studio.news.close()
        crew.stop()
        studio.close()


def serve(
    settings: ServerSettings,
    announce: Callable[[str], None],
    open_browser: bool,
    finders: Finders = GRABCUT,
) -> None:
    """Run a server until it is interrupted. InputError when the address or the data folder cannot
    be used, OutputError for the latter.
    """
    with listen(settings) as listener:
        app = create_app(Studio.open(settings, finders))
        server = uvicorn.Server(configuration(app, settings.limits))
        port = listener.getsockname()[1]
        announce(announcement("maquette app", settings, port))
        entrance = _entrance(settings, port)
        if open_browser:
            threading.Timer(0.5, webbrowser.open, (entrance,)).start()
        server.run(sockets=[listener])


def announcement(command: str, settings: ServerSettings, port: int) -> str:
    """What is said at a start: the address that opens the page, and who can come."""
    said = [f"{command}: {_entrance(settings, port)}", f"data: {settings.data}", "stop with Ctrl-C"]
    if not is_loopback(settings.host):
        said.append(
            "other machines can reach it, with this token; the connection is not encrypted, "
            "so use it in networks you trust"
        )
    return "\n".join(said)


def _entrance(settings: ServerSettings, port: int) -> str:
    """The address that opens the page."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    token = "" if settings.token is None else f"?token={quote(settings.token, safe='')}"
    return f"http://{host}:{port}/{token}"


def configuration(app: FastAPI, limits: Limits) -> uvicorn.Config:
    """How connections are handled: no web sockets, no proxies, no waiting for those that say
    nothing.
    """
    connection = functools.partial(BoundedConnection, limits=limits)
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=connection,  # type: ignore[arg-type]  # a class, says its type; any maker will do
        ws="none",
        proxy_headers=False,
        lifespan="on",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )


def listen(settings: ServerSettings) -> socket.socket:
    """A socket at the address. InputError when that cannot be had."""
    host = settings.host.strip("[]")
    try:
        found = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
        family, address = found[0], found[4]
        takes_both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(
            address,
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=takes_both,
        )
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot listen on {settings.host} port {settings.port} ({reason}); "
            "try another --port or --host"
        ) from error


class _Unchanging(StaticFiles):
    """Files of the package; browsers ask each time whether they have changed."""

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Add what browsers may keep."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = "no-cache"
        return response


async def _on_problem(request: Request, error: Any) -> JSONResponse:
    problem = problem_of(error)
    studio: Studio = request.app.state.studio
    return problem.saying(studio.without_paths(str(problem))).response()


async def _on_system_error(request: Request, error: Any) -> JSONResponse:
    if error.errno is None:  # of a library that reads files, not of the system: a bug
        raise error
    return await _on_problem(request, error)


async def _on_wrong_value(request: Request, error: Any) -> JSONResponse:
    said = "; ".join(_wrong_value(entry) for entry in error.errors()[:3])
    return Problem(422, "input", said).response()


def _wrong_value(entry: JsonObject) -> str:
    """Where a value is wrong and why, in a line; names of fields may be the client's."""
    path = [str(part) for part in entry["loc"] if part not in ("body", "query", "path")]
    where = ".".join(path)[:QUOTED].encode("utf-8", "replace").decode()
    reason = entry["msg"][:QUOTED]
    return f"{where}: {reason}" if where else reason


async def _on_http_error(request: Request, error: Any) -> JSONResponse:
    # a body that cannot be parsed is a wrong value like others
    status = 422 if error.status_code == 400 else error.status_code
    message = "there is nothing at this address" if status == 404 else str(error.detail)
    code = HTTP_CODES.get(status, "failed")
    return Problem(status, code, message, dict(error.headers or {})).response()


async def _on_missing_file(request: Request, error: Any) -> JSONResponse:
    return Problem(404, "not_found", "it has just been deleted").response()


async def _on_departure(request: Request, error: Any) -> JSONResponse:  # nobody hears it
    return Problem(408, "timeout", "the request ended before its body did").response()


async def _on_bug(request: Request, error: Any) -> JSONResponse:
    message = "something went wrong in the server; its output has the details"
    return Problem(500, "failed", message).response()


_HANDLERS = {
    MaquetteError: _on_problem,
    OSError: _on_system_error,
    OperationalError: _on_problem,
    RequestValidationError: _on_wrong_value,
    HTTPException: _on_http_error,
    FileNotFoundError: _on_missing_file,
    ClientDisconnect: _on_departure,
    Exception: _on_bug,
}
