"""No reader lets another exception through than a MaquetteError of one line; benchmarks/fuzz.py
tries many more cases.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

from maquette.errors import InputError

CASES = 25  # of each target
PROGRAM = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROGRAM.parent))
        spec = importlib.util.spec_from_file_location("fuzz", PROGRAM)
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "fuzz", module)
        spec.loader.exec_module(module)
        yield module


TARGETS = (
    "photo",
    "masks",
    "geometry",
    "scene",
    "mesh",
    "evaluation",
    "midi-3dfront",
    "weights",
    "verify",
)


def test_every_target_is_tried(fuzz):
    assert tuple(fuzz.TARGETS) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_sound_is_read(fuzz, target, tmp_path):
    seeds = fuzz.seeds(target)
    for number, seed in enumerate(seeds):
        folder = tmp_path / str(number)
        fuzz.write_files(folder, seed.files)
        outcome = fuzz.read_and_judge(target, folder / seed.entry)
        assert (seed.entry, outcome.kind, outcome.message) == (seed.entry, "good", "")
    assert seeds


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_damaged_is_read_or_refused_by_one_line(fuzz, target):
    outcomes = [fuzz.try_case(target, case) for case in range(CASES)]
    bad = [f"case {o.case}: {o.message}" for o in outcomes if o.kind == "bad"]
    assert not bad


def test_a_case_is_the_same_whenever_it_is_written(fuzz, tmp_path):
    for case in range(5):
        contents = []
        for turn in ("first", "second"):
            entry = fuzz.write_case("photo", case, tmp_path / f"{case} {turn}")
            contents.append(entry.read_bytes())
        assert contents[0] == contents[1]


def test_another_exception_is_bad(fuzz):
    errors = [KeyError("x"), InputError("x")]
    kinds = [fuzz.judged(0, error).kind for error in errors]
    assert kinds == ["bad", "clean"]
