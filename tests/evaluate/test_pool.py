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


def test_every_task_runs_once_elsewhere_or_here(tmp_path):
    seen = []
    for jobs in (0, 1):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        with processes(jobs, 1) as pool:
            in_processes(pool, note, [(str(folder), f"{k}") for k in range(5)], lambda done, of: seen.append((done, of)))
        pids = {path.read_text() for path in folder.iterdir()}
        assert len(list(folder.iterdir())) == 5
        assert (pids == {str(os.getpid())}) == (jobs == 0)
    assert seen == 2 * [(k, 5) for k in range(6)]


def test_errors_arrive_and_dead_processes_are_explained():
    with processes(1, 1) as pool:
        with pytest.raises(InputError, match="what went wrong"):
            in_processes(pool, fail, [("what went wrong",)])
        with pytest.raises(MaquetteError, match="fewer --jobs"):
            in_processes(pool, die, [()])
