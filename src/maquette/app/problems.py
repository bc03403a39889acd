"""Errors with an HTTP status: what a client is told in ``{"error": {"code", "message", ...}}``."""

from __future__ import annotations

import errno
import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.responses import JSONResponse

from maquette.errors import InputError, MaquetteError, MissingExtraError, OutputError
from maquette.types import JsonObject

DISK_FULL = "53100"  # PostgreSQL's code


class Problem(MaquetteError):
    """An answer that is not what was asked for; ``details`` stand beside the message."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}
        self.details = details

    def saying(self, message: str) -> Problem:
        """The same in other words."""
        return Problem(self.status, self.code, message, self.headers, **self.details)

    def response(self, close: bool = False) -> JSONResponse:
        """The answer; after it the connection may be closed."""
        headers = {**self.headers, "connection": "close"} if close else self.headers
        return JSONResponse(self.body(), self.status, headers)

    def body(self) -> JsonObject:
        """The JSON of the answer."""
        return {
            "error": {
                "code": self.code,
                "message": str(self),
                **self.details,
            }
        }


def not_found(what: str) -> Problem:
    """There is no such thing, or no longer."""
    return Problem(404, "not_found", f"there is no such {what}; it may have been deleted")


def conflict(message: str, current: Any = None) -> Problem:
    """The thing is not, or no longer, in the state that the request assumes."""
    return Problem(409, "conflict", message, **({} if current is None else {"current": current}))


def too_large(message: str) -> Problem:
    """More than the limits allow."""
    return Problem(413, "too_large", message)


def file_type(message: str) -> Problem:
    """Content of a kind that is not read."""
    return Problem(415, "file_type", message)


def busy(message: str, seconds: int, status: int = 429) -> Problem:
    """Too much at once; come back later."""
    return Problem(status, "busy", message, {"Retry-After": str(seconds)}, retry_after=seconds)


def disk_full() -> Problem:
    """There is no room for anything new."""
    message = "the disk of the server is full; delete what is not needed, or make room, and repeat"
    return Problem(507, "full", message)


def is_full(error: BaseException | None) -> bool:
    """Whether a file or the database could not be written for want of room, be it that this was
    the cause of the error.
    """
    while error is not None:
        if isinstance(error, DBAPIError) and (
            "disk is full" in str(error.orig) or getattr(error.orig, "sqlstate", "") == DISK_FULL
        ):
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def problem_of(error: MaquetteError | OSError | SQLAlchemyError) -> Problem:
    """What a client is told of an error of the library, the disk or the database."""
    if isinstance(error, Problem):
        return error
    if is_full(error):
        return disk_full()
    if isinstance(error, (InputError, MissingExtraError)):
        return Problem(422, "input", str(error))
    if isinstance(error, DBAPIError) and not isinstance(error.orig, sqlite3.Error):
        return busy("the database does not answer; try again", 5, status=503)
    cause = error.__cause__ if isinstance(error, OutputError) else error
    if isinstance(cause, (OSError, DBAPIError)):
        reason = getattr(cause, "strerror", None) or str(getattr(cause, "orig", cause))
        return Problem(507, "failed", f"the server cannot write its files ({reason})")
    return Problem(507 if isinstance(error, OutputError) else 500, "failed", str(error))
