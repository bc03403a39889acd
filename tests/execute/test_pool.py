import os
from pathlib import Path

import pytest

from maquette.errors import InputError
from maquette.execute.pool import Engine, in_processes, lost, processes


def note(folder, name):
    (Path(folder) / name).write_text(str(os.getpid()))


def fail(message):
    raise InputError(message)


def note_or_die(folder, name):
    if not name:
        os._exit(9)
    note(folder, name)


def test_tasks_here_run_one_after_the_other(tmp_path):
    seen = []
    with processes(Engine(0)) as pool:
        in_processes(
            pool,
            note,
            [(str(tmp_path), f"{k}") for k in range(3)],
            lambda done, of: seen.append((done, of)),
        )
        with pytest.raises(InputError, match="what went wrong"):
            in_processes(pool, fail, [("what went wrong",)])
    assert {path.read_text() for path in tmp_path.iterdir()} == {str(os.getpid())} and seen == [
        (k, 3) for k in range(4)
    ]


def test_tasks_elsewhere_run_once_errors_arrive_and_dead_processes_cost_their_task_only(tmp_path):
    seen = []
    with processes(Engine(1)) as pool:
        in_processes(
            pool,
            note,
            [(str(tmp_path), f"{k}") for k in range(5)],
            lambda done, of: seen.append((done, of)),
        )
        assert len(list(tmp_path.iterdir())) == 5 and seen == [(k, 5) for k in range(6)]
        assert str(os.getpid()) not in {path.read_text() for path in tmp_path.iterdir()}
        with pytest.raises(InputError, match="what went wrong"):
            in_processes(pool, fail, [("what went wrong",)])
        given = [(str(tmp_path), "x"), (str(tmp_path), ""), (str(tmp_path), "y")]
        results = in_processes(pool, note_or_die, given)
        assert [arguments for arguments, _ in lost(given, results)] == [given[1]]
        assert (tmp_path / "x").exists() and (tmp_path / "y").exists()
