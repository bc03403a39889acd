"""Errors of the library become answers."""

import pytest

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


def test_details_stand_beside_the_message():
    assert busy("full", 7).body() == {
        "error": {"code": "busy", "message": "full", "retry_after": 7}
    } and busy("full", 7).headers == {"Retry-After": "7"}
    assert conflict("late", {"version": 3}).body()["error"]["current"] == {"version": 3}
    assert isinstance(Problem(404, "not_found", "x"), Exception)
