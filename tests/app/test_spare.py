"""Room that is kept, lent and kept again."""

import errno

import pytest
from sqlalchemy.exc import OperationalError

from maquette.app.problems import Problem
from maquette.app.spare import SPARE_BYTES, Spare
from maquette.errors import OutputError
from tests.app.test_problems import of_database


@pytest.fixture
def spare(tmp_path):
    return Spare(tmp_path / "spare")


def test_room_is_kept_once(spare):
    assert spare.make() == spare.path.stat().st_size >= SPARE_BYTES
    before = spare.path.stat().st_mtime_ns
    assert spare.make() and spare.path.stat().st_mtime_ns == before
    spare.require()


@pytest.mark.parametrize("kept", [0, 30, 1000, 70_000])
def test_what_was_cut_off_is_completed(spare, kept):
    spare.make()
    spare.path.write_bytes(spare.path.read_bytes()[:kept])
    assert spare.make() == spare.path.stat().st_size >= SPARE_BYTES


def test_a_file_of_somebody_else_is_not_touched(spare):
    spare.path.write_text("mine")
    with pytest.raises(OutputError, match="move it away"):
        spare.make()
    with pytest.raises(OutputError):
        spare.lend(lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    assert spare.path.read_text() == "mine"


def test_without_room_nothing_is_kept_and_nothing_new_is_taken(tmp_path):
    spare = Spare(tmp_path / "no such folder" / "spare")
    assert spare.make() == 0
    with pytest.raises(Problem) as caught:
        spare.require()
    assert caught.value.status == 507


@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, "no space left"),
        OSError(errno.EDQUOT, "quota exceeded"),
        of_database("database or disk is full"),
    ],
)
def test_a_change_gets_the_room_when_it_needs_it(spare, full):
    tries = []

    def change():
        tries.append(spare.path.exists())
        if spare.path.exists():
            raise full
        return "done"

    spare.make()
    assert spare.lend(change) == "done" and tries == [True, False]
    assert spare.lend(change) == "done"


def test_other_errors_cost_no_room(spare):
    spare.make()
    with pytest.raises(OperationalError, match="locked"):
        spare.lend(lambda: (_ for _ in ()).throw(of_database("database is locked")))
    assert spare.make()
