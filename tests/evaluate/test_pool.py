import os
from pathlib import Path

import pytest

from maquette.errors import InputError, MaquetteError
from maquette.evaluate.pool import in_processes, processes


def note(folder, name):
    (Path(folder) / name).write_text(str(os.getpid()))


def fail(message):
    raise InputError(message)


def die():
    os._exit(9)


def test_tasks_here_run_one_after_the_other(tmp_path):
    seen = []
    with processes(0, 1) as pool:
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


def test_tasks_elsewhere_run_once_errors_arrive_and_dead_processes_are_explained(tmp_path):
    seen = []
    with processes(1, 1) as pool:
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
        with pytest.raises(MaquetteError, match="fewer --jobs"):
            in_processes(pool, die, [()])
