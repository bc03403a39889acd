"""What the documents show is what the server says: the same fields in docs/app-api.md, in OpenAPI
and on the reference page.
"""

import json
import re
from pathlib import Path

import pytest

from maquette.app import reference, samples

TEXT = (Path(__file__).parents[2] / "docs" / "app-api.md").read_text(encoding="utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def shape(value):
    """The fields of a value and of the first entry of its lists; numbers, null and free content are
    alike.
    """
    if isinstance(value, dict):
        return {
            key: ... if key in ("provenance", "seconds", "camera", "options") else shape(entry)
            for key, entry in value.items()
        }
    return [shape(value[0])] if isinstance(value, list) and value else ...


def fits(shown, real):
    if shown is ... or real is ...:
        return True
    if isinstance(shown, dict):
        return (
            isinstance(real, dict)
            and shown.keys() == real.keys()
            and all(fits(shown[key], real[key]) for key in shown)
        )
    return isinstance(real, list) and fits(shown[0], real[0])


@pytest.fixture(scope="module")
def answers(server):
    """A real answer of each kind."""
    photo = server.photo()
    state = server.get(f"/api/photos/{photo}/masks").json
    scene = server.get(f"/api/scenes/{server.job(photo)['scene']}").json
    return {
        "PHOTO": server.get(f"/api/photos/{photo}").json,
        "MASKS": state,
        "SCENE": scene,
        "JOB": server.get(f"/api/jobs/{scene['job']}").json,
        "BRIEF_SCENE": server.get("/api/scenes").json["scenes"][0],
        "CONFIG": server.get("/api/config").json,
        "HEALTH": server.get("/api/health").json,
        "EXAMPLE": server.get("/api/examples").json["examples"][0],
        "COMPARISON": server.get(f"/api/compare?a={scene['id']}&b={scene['id']}").json,
    }


@pytest.mark.parametrize(
    "name",
    ["PHOTO", "MASKS", "JOB", "SCENE", "BRIEF_SCENE", "CONFIG", "HEALTH", "EXAMPLE", "COMPARISON"],
)
def test_samples_have_the_fields_of_real_answers(answers, name):
    assert fits(shape(getattr(samples, name)), shape(answers[name])), name


def test_the_document_shows_the_same_fields(answers):
    found = {
        name
        for name, real in answers.items()
        for block in BLOCKS
        if fits(shape(block), shape(real))
    }
    assert found >= {"PHOTO", "MASKS", "JOB", "SCENE", "CONFIG", "COMPARISON"}


def test_the_document_speaks_of_every_address(server):
    for path in server.get("/openapi.json").json["paths"]:
        missing = [
            part
            for part in path.split("/")
            if part and not part.startswith("{") and part not in TEXT
        ]
        assert not missing, path


def test_the_reference_page_shows_every_operation_with_its_example(server):
    document = server.get("/openapi.json").json
    page = server.get("/api/docs")
    assert page.headers["content-type"].startswith("text/html") and b"<script" not in page.body
    text = page.body.decode()
    operations = [
        (path, method) for path, methods in document["paths"].items() for method in methods
    ]
    assert text.count("<details>") == len(operations) > 40
    assert "room, seed 7" in text and "&lt;" in reference.page(
        {**document, "info": {"title": "<", "version": "", "description": ""}}
    )
