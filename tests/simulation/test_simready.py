"""The assets of a USD scene pass SimReady's profile for props, as its own validator says.

``pip install simready-validate simready-foundation-tier-core`` in an environment of its own, for it
pins an older USD; its folder of programs on PATH.
"""

import json
import shutil
import subprocess

import pytest

from maquette.options import ScaleOptions, SimulationOptions
from maquette.simulation.files import write_simulation
from tests.simulation.scenes import standing

PROFILE = ["--profile", "Robotics-Prop", "--version", "4.0.0"]


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("simready-validate") is None, reason="no simready-validate")
def test_every_asset_is_a_robotics_prop(tmp_path):
    scene = standing().rename(2, "Mug 7")
    options = SimulationOptions(collision="hull")
    made = write_simulation(scene, tmp_path / "a.usda", options, ScaleOptions(metres_per_unit=2.0))
    assets = [file for file in made.files if file.suffix == ".usda" and file != made.path]
    assert len(assets) == 3
    for asset in assets:
        told = tmp_path / f"{asset.stem}.json"
        command = ["simready-validate", str(asset), *PROFILE, "--output", str(told)]
        subprocess.run(command, check=False, capture_output=True, timeout=300)
        (found,) = json.loads(told.read_text()).values()
        features = found["features_summary"]
        failing = {
            name: one["requirement_messages"]
            for name, one in features.items()
            if one.get("failing requirements")
        }
        assert len(features) > 10 and failing == {}
