"""Networks of others in the app, on tiny random ones where a fetch would have put them."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from maquette.app import finders
from maquette.checkpoints import mask_networks
from maquette.cli import app as command
from maquette.masks.segment import ByColour
from tests.app.live import pixels, start
from tests.checkpoints import tiny_hub


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With the networks that the command gives to a server, and GrabCut as its own."""
    finders = dataclasses.replace(command.finders(), own=ByColour)
    with start(tmp_path_factory.mktemp("app"), finders=finders) as live:
        yield live


@pytest.fixture
def state(server):
    return server.get(f"/api/photos/{server.photo()}/masks").json


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """A home in which three networks have been fetched."""
    pytest.importorskip("transformers")
    monkeypatch.setenv("HOME", str(tmp_path))
    root = tmp_path / ".cache" / "maquette"
    made = {
        "sam2.1-hiera-tiny": tiny_hub.sam2,
        "mask2former-swin-small-coco-instance": tiny_hub.mask2former,
        "grounding-dino-tiny": tiny_hub.grounding_dino,
    }
    for name, make in made.items():
        (root / name).mkdir(parents=True)
        make(root / name)
    command._opened.cache_clear()
    yield root
    command._opened.cache_clear()


def bring_of(server):
    return {one["name"]: one["bring"] for one in server.get("/api/config").json["finders"]}


def test_what_is_not_here_says_how_to_bring_it(server, state, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    told = bring_of(server)
    assert told["embedded"] == "" and set(told) == {"embedded", *finders.FINDERS}
    for name in finders.FINDERS:
        assert f"pip install 'maquette[hub]' && maquette models fetch {name}" in told[name]
    for edit in ({"finder": "sam2.1"}, {"find": "ball"}):
        answer = server.edit_masks(state, kind="auto", **edit)
        assert (answer.status, answer.code) == (422, "input") and "models fetch" in answer.message
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    answer = server.edit_masks(state, kind="auto", finder="sam2.1")
    assert answer.status == 422
    assert "pip install 'maquette[hub]'" in answer.message
    assert "maquette models fetch sam2.1" in answer.message


@pytest.mark.parametrize("finder", ["grounding-dino", "../../etc", "OWNER/NAME", "colour"])
def test_a_client_names_no_folder_and_no_repository(server, state, finder):
    answer = server.edit_masks(state, kind="box", box=[10, 15, 48, 57], finder=finder)
    assert (answer.status, answer.code) == (422, "input") and "sam2.1" in answer.message
    assert server.get(f"/api/photos/{state['photo']}/masks").json == state


def test_clicks_boxes_words_and_everything_of_a_network(server, state, fetched, monkeypatch):
    assert set(bring_of(server).values()) == {""}
    monkeypatch.setattr(mask_networks, "BOX_THRESHOLD", 0.0)
    monkeypatch.setattr(mask_networks, "SURE", -9.0)
    cleared = server.edit_masks(state, kind="clear").json
    for edit in (
        {"kind": "box", "box": [10, 15, 48, 57]},
        {"kind": "clicks", "clicks": [{"x": 67.0, "y": 36.0}]},
        {"kind": "auto"},
        {"kind": "auto", "find": "ball, cup"},
    ):
        answer = server.edit_masks(cleared, **edit, finder="sam2.1")
        assert answer.status in (200, 422)  # random weights may find nothing
        if answer.status == 200:
            made = answer.json
            shown = pixels(server.get(made["labels"]).body)
            assert np.count_nonzero(shown[..., 0]) > 0
            undo = server.post(
                f"/api/photos/{state['photo']}/masks/undo", {"version": made["version"]}
            )
            cleared = undo.json
        else:
            assert "models fetch" not in answer.message


def test_names_of_kinds_become_names_of_objects(server, state, fetched, monkeypatch):
    monkeypatch.setattr(mask_networks, "THRESHOLD", 0.0)
    answer = server.edit_masks(state, kind="auto", finder="mask2former")
    if answer.status == 200:
        assert {one["name"] for one in answer.json["objects"]} <= {"cup", "chair"}
    else:
        assert "knows" in answer.message
