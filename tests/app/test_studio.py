"""Turns are few, and nobody waits for ever."""

import threading

import pytest

from maquette.app.problems import Problem
from maquette.app.settings import Limits, ServerSettings
from maquette.app.studio import Studio


@pytest.fixture
def studio(tmp_path):
    opened = Studio.open(ServerSettings(tmp_path, heavy=2, limits=Limits(gate_seconds=0.05)))
    yield opened
    opened.close()


def test_as_many_turns_as_there_are_and_then_a_refusal(studio):
    with studio.turn(), studio.turn():
        with pytest.raises(Problem) as caught, studio.turn():
            pass
        assert caught.value.status == 503 and caught.value.headers["Retry-After"]
    with studio.turn(), studio.turn():
        pass


def test_one_thing_is_edited_by_one_at_a_time(studio):
    inside = []
    most = []

    def work():
        for _ in range(20):
            with studio.alone("scenes", "a"), studio.alone("scenes", "a"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
