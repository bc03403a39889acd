"""One try: time is counted once, and the best of several is kept."""

import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from maquette.attempt import Clock, best_of
from maquette.errors import InputError
from maquette.types import Failure


def test_a_stage_within_another_one_counts_for_itself_only():
    clock = Clock()
    start = time.perf_counter()
    with clock.stage("outer"):
        time.sleep(0.02)
        with clock.stage("inner"):
            time.sleep(0.05)
    whole = time.perf_counter() - start
    assert clock.seconds["inner"] >= 0.05
    assert sum(clock.seconds.values()) == pytest.approx(whole, abs=0.005)
    with clock.stage("inner"):
        time.sleep(0.01)
    assert clock.seconds["inner"] >= 0.06


@dataclass
class Tried:
    score: float
    instances: tuple[int, ...] = (1,)
    failures: tuple[Failure, ...] = (Failure(3, "decode", "no surface"),)
    perception: object = None

    def __post_init__(self):
        self.perception = SimpleNamespace(given=SimpleNamespace(source="room.jpg"))


def test_the_first_of_the_best_is_kept():
    tried = [Tried(0.2), Tried(0.9), Tried(0.9)]
    assert best_of(tried) is tried[1]


def test_a_photo_of_which_nothing_can_be_made_is_named_with_the_reasons():
    with pytest.raises(InputError, match=r"room\.jpg: no object could be made \(3: no surface\)"):
        best_of([Tried(0.0, instances=())])
