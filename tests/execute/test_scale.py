"""benchmarks/scale.py: its simulation obeys the laws of queues, and its measurements run."""

import importlib
import json
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "scale.py"
SERVICES = {"driver": 0.01, "object store": 0.02, "file system": 0.03, "database": 0.04}


@pytest.fixture(scope="module")
def scale():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROGRAM.parent))  # where its processes look for it
        yield importlib.import_module("scale")
        del sys.modules["scale"]


def test_one_worker_waits_for_nobody(scale):
    kind = scale.Kind("unit", 2.0, files=2, returned=2**20, commits=1)
    found = scale.simulate(kind, SERVICES, 1)
    whole = 2.0 + 0.01 + 2 * 0.03 + 0.02 + 0.04
    assert found.efficiency == pytest.approx(2.0 / whole)
    assert found.busy["file system"] == pytest.approx(0.06 / whole)
    assert found.busiest == "file system"


def test_the_slowest_server_bounds_many_workers(scale):
    """Little's law: beyond T / s workers, efficiency falls as 1 / workers."""
    kind = scale.Kind("unit", 1.0, files=1, returned=0)
    limits = scale.most_workers(kind, SERVICES)
    assert limits == {"driver": 100.0, "file system": pytest.approx(1 / 0.03)}
    few, many, more = (scale.simulate(kind, SERVICES, workers) for workers in (4, 400, 800))
    assert few.efficiency > 0.9 and many.busiest == more.busiest == "file system"
    assert many.busy["file system"] > 0.95
    assert more.efficiency / many.efficiency == pytest.approx(0.5, rel=0.1)


def test_measured_and_printed_without_ray(scale, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scale.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(scale, "scene_seconds", lambda: 0.1)
    monkeypatch.setattr(scale, "WORKERS", (1, 16))
    small = ["--jobs", "1", "--units", "1", "--seconds", "0.01", "--count", "3"]
    assert scale.main([*small, "--json", str(tmp_path / "numbers.json")]) == 0
    told = json.loads((tmp_path / "numbers.json").read_text())
    assert told["measured"].keys() == {"processes"} and all(told["services"].values())
    assert capsys.readouterr().out.count("saturates first") == 4
