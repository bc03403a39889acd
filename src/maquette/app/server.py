"""The application, and running it: listen, say where, open the browser, stop cleanly."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sqlite3
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable, Sequence
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from maquette import __version__
from maquette.app import jobs as jobs_of_studio
from maquette.app.connections import BoundedConnection
from maquette.app.crew import Crew
from maquette.app.examples import assets
from maquette.app.guard import Guard
from maquette.app.problems import Problem, problem_of
from maquette.app.routes import jobs, photos, scenes, system
from maquette.app.settings import Limits, ServerSettings, is_loopback
from maquette.app.studio import Studio
from maquette.errors import InputError, MaquetteError, OutputError

ABOUT = (
    "One photo in, an editable 3D scene out. Photos and masks go in, jobs make scenes of "
    "them, scenes are edited and exported."
)
FOLDERS = ("app", "three", "viewer")  # of the package's files, served as they are


def create_app(studio: Studio, worker: Sequence[str] | None = None) -> FastAPI:
    """The application; its workers run while it does, and it closes the studio. ``worker``: another
    command of their language. OutputError when the disk is too full to begin.
    """
    try:
        jobs_of_studio.recover(studio)
    except (OSError, sqlite3.Error) as error:
        studio.close()
        raise OutputError(
            f"{studio.settings.data}: cannot be written ({error}); make room, and start again"
        ) from error

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.studio = studio
        app.state.crew = Crew(studio, worker)
        app.state.crew.start()
        try:
            yield
        finally:
            studio.news.close()
            app.state.crew.stop()
            studio.close()

    app = FastAPI(
        title="maquette",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.add_exception_handler(MaquetteError, _on_problem)
    app.add_exception_handler(OSError, _on_system_error)
    app.add_exception_handler(sqlite3.OperationalError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_wrong_value)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(FileNotFoundError, _on_missing_file)
    app.add_exception_handler(ClientDisconnect, _on_departure)
    app.add_exception_handler(Exception, _on_bug)
    for routes in (system, photos, jobs, scenes):
        app.include_router(routes.router)
    for folder in FOLDERS:
        app.mount(f"/{folder}", _Unchanging(directory=assets() / folder))
    app.add_middleware(Guard, settings=studio.settings)
    return app


def serve(settings: ServerSettings, announce: Callable[[str], None], open_browser: bool) -> None:
    """Run a server until it is interrupted. InputError when the address or the data folder cannot
    be used, OutputError for the latter.
    """
    with _listen(settings) as listener:
        _serve(Studio.open(settings), listener, announce, open_browser)


def _serve(
    studio: Studio, listener: socket.socket, announce: Callable[[str], None], open_browser: bool
) -> None:
    settings = studio.settings
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{shown}:{listener.getsockname()[1]}/"
    entrance = (
        address if settings.token is None else f"{address}?token={quote(settings.token, safe='')}"
    )
    server = uvicorn.Server(configuration(create_app(studio), settings.limits))
    announce(f"maquette app: {entrance}\ndata: {settings.data}\nstop with Ctrl-C")
    if not is_loopback(settings.host):
        announce(
            "other machines can reach it, with this token; the connection is not encrypted, so "
            "use it in networks you trust"
        )
    if open_browser:
        threading.Timer(0.5, webbrowser.open, (entrance,)).start()
    server.run(sockets=[listener])


def configuration(app: FastAPI, limits: Limits) -> uvicorn.Config:
    """How connections are handled: no web sockets, no proxies, no waiting for those that say
    nothing.
    """
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=functools.partial(BoundedConnection, limits=limits),
        ws="none",
        proxy_headers=False,
        lifespan="on",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=32 << 10,
    )


def _listen(settings: ServerSettings) -> socket.socket:
    with contextlib.ExitStack() as undo:
        try:
            family, kind, protocol, _, target = socket.getaddrinfo(
                settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM
            )[0]
            listener = undo.enter_context(socket.socket(family, kind, protocol))
            if os.name != "nt":  # there it would let another program take the port over
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(target)
            listener.listen(256)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"cannot listen on {settings.host} port {settings.port} ({reason}); try another "
                "--port or --host"
            ) from error
        undo.pop_all()
    return listener


class _Unchanging(StaticFiles):
    """Files of the package; browsers ask each time whether they have changed."""

    def file_response(self, *arguments, **options):
        """Add what browsers may keep."""
        response = super().file_response(*arguments, **options)
        response.headers["cache-control"] = "no-cache"
        return response


async def _on_problem(request: Request, error: Exception) -> JSONResponse:
    problem = problem_of(error)
    studio: Studio = request.app.state.studio
    return problem.saying(studio.without_paths(str(problem))).response()


async def _on_system_error(request: Request, error: OSError) -> JSONResponse:
    if error.errno is None:  # of a library that reads files, not of the system: a bug
        raise error
    return await _on_problem(request, error)


async def _on_wrong_value(request: Request, error: RequestValidationError) -> JSONResponse:
    said = []
    for entry in error.errors()[:3]:
        where = ".".join(
            str(part) for part in entry["loc"] if part not in ("body", "query", "path")
        )
        said.append(f"{where}: {entry['msg'][:200]}" if where else entry["msg"][:200])
    return Problem(422, "input", "; ".join(said)).response()


async def _on_http_error(request: Request, error: HTTPException) -> JSONResponse:
    codes = {404: "not_found", 405: "method", 422: "input"}
    status = (
        422 if error.status_code == 400 else error.status_code
    )  # a body that cannot be parsed is a wrong value like others
    message = "there is nothing at this address" if status == 404 else str(error.detail)
    return Problem(
        status, codes.get(status, "failed"), message, dict(error.headers or {})
    ).response()


async def _on_missing_file(request: Request, error: FileNotFoundError) -> JSONResponse:
    return Problem(404, "not_found", "it has just been deleted").response()


async def _on_departure(request: Request, error: ClientDisconnect) -> JSONResponse:
    return Problem(408, "timeout", "the request ended before its body did").response()


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    message = "something went wrong in the server; its output has the details"
    return Problem(500, "failed", message).response()
