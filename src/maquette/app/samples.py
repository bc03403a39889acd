"""Examples of answers for the reference page and the OpenAPI document, from samples.json; a test
holds them to what the server really says.
"""

from __future__ import annotations

import json
from importlib import resources

_SAMPLES = json.loads(resources.files("maquette.app").joinpath("samples.json").read_text("utf-8"))
_DETAILS = {
    *("changed", "camera", "ground_height", "metres_per_unit"),
    *("around", "instances", "failures", "warnings", "provenance"),
}

EXAMPLE = _SAMPLES["EXAMPLE"]
PHOTO = _SAMPLES["PHOTO"]
MASKS = _SAMPLES["MASKS"]
SUBMISSION = _SAMPLES["SUBMISSION"]
JOB = _SAMPLES["JOB"]
SCENE = _SAMPLES["SCENE"]
BRIEF_SCENE = {key: value for key, value in SCENE.items() if key not in _DETAILS}
COMPARISON = _SAMPLES["COMPARISON"]
CONFIG = _SAMPLES["CONFIG"]
HEALTH = _SAMPLES["HEALTH"]
