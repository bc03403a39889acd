"""Errors of the library become answers."""

import errno
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from maquette.app.problems import Problem, busy, conflict, problem_of
from maquette.errors import CheckpointError, InputError, OutputError


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InputError("a"), 422, "input"),
        (OutputError("a"), 507, "failed"),
        (CheckpointError("a"), 500, "failed"),
        (conflict("a"), 409, "conflict"),
    ],
)
def test_every_error_has_a_status_and_keeps_its_message(error, status, code):
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.body()["error"]["message"]) == (status, code, "a")


def of_database(said):
    return OperationalError("SELECT 1", {}, sqlite3.OperationalError(said))


def raised_by(cause):
    error = OutputError("/srv/data/photos/x.png: cannot be written")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/srv/data/x"), "full"),
        (raised_by(OSError(errno.EDQUOT, "Disk quota exceeded", "/srv/data/x")), "full"),
        (of_database("database or disk is full"), "full"),
        (of_database("disk I/O error"), "failed"),
        (OSError(errno.EROFS, "Read-only file system", "/srv/data/x"), "failed"),
        (raised_by(OSError(errno.EIO, "Input/output error", "/srv/data/x")), "failed"),
    ],
)
def test_a_disk_that_cannot_be_written_is_said_without_its_paths(error, code):
    problem = problem_of(error)
    assert (problem.status, problem.code) == (507, code) and "/srv" not in str(problem)


def test_details_stand_beside_the_message():
    assert busy("full", 7).body() == {
        "error": {"code": "busy", "message": "full", "retry_after": 7}
    } and busy("full", 7).headers == {"Retry-After": "7"}
    assert conflict("late", {"version": 3}).body()["error"]["current"] == {"version": 3}
    assert isinstance(Problem(404, "not_found", "x"), Exception)
