"""JobOptions against what a worker can do."""

import pytest
from pydantic import ValidationError

from maquette.app.options import offered, regeneration, resolved
from maquette.app.schemas import JobOptions, RegenerateRequest
from maquette.errors import InputError

CAN = {
    "methods": [],
    "models": [
        {"name": "mine", "methods": ["midi"], "default": True},
        {"name": "embedded", "methods": ["midi", "iscene"], "default": False},
    ],
    "devices": ["cpu"],
}


def test_what_is_left_out_is_the_default():
    assert resolved(JobOptions(), CAN) == JobOptions(model="mine", method="midi").model_dump()
    assert resolved(JobOptions(model="embedded"), CAN)["method"] == "iscene"


def test_a_repetition_changes_only_what_is_said():
    before = resolved(JobOptions(model="embedded", method="midi", seed=4, steps=3), CAN)
    assert resolved(JobOptions(seed=5), CAN, before) == {**before, "seed": 5}
    assert resolved(JobOptions(steps=None), CAN, before)["steps"] is None
    assert resolved(JobOptions(), CAN, before) == before


@pytest.mark.parametrize("wrong", [{"model": "other"}, {"method": "iscene"}, {"device": "mps"}])
def test_what_cannot_be_done_is_refused(wrong):
    with pytest.raises(InputError, match="choose"):
        resolved(JobOptions(**wrong), CAN)
    with pytest.raises(InputError, match="no weights"):
        resolved(JobOptions(), {"models": [], "devices": []})


def test_a_numbered_card_is_taken_where_it_is():
    many = {**CAN, "devices": ["cuda", "cuda:0", "cuda:1", "cpu"]}
    assert resolved(JobOptions(device="cuda:1"), many)["device"] == "cuda:1"
    with pytest.raises(InputError, match=r"no device 'cuda:2' here; choose auto, cuda, cuda:0"):
        resolved(JobOptions(device="cuda:2"), many)


def test_what_the_page_offers_is_what_a_request_may_ask_for():
    shown = offered({"methods": [{"default": True, "steps": 3, "guidance": 1.5}]})
    assert (shown["steps"]["default"], shown["guidance"]["default"]) == (3, 1.5)
    for name, option in shown.items():
        for end, beyond in (("minimum", -1), ("maximum", 1)):
            if end in option:
                assert getattr(JobOptions(**{name: option[end]}), name) == option[end]
                with pytest.raises(ValidationError):
                    JobOptions(**{name: option[end] + beyond})


def test_one_object_anew_is_made_as_its_scene_was():
    made_with = {
        "method": "midi",
        "model": "embedded",
        "steps": 3,
        "guidance": 2.0,
        "fit": False,
        "samples": 4,
        "seed": 1,
    }
    options = regeneration(RegenerateRequest(label=1, seed=7, steps=5), CAN, made_with)
    assert (
        options
        == JobOptions(
            method="midi", model="embedded", steps=5, guidance=2.0, fit=False, seed=7
        ).model_dump()
    )
    assert (
        regeneration(RegenerateRequest(label=1), CAN, made_with)["seed"]
        != regeneration(RegenerateRequest(label=1), CAN, made_with)["seed"]
    )


@pytest.mark.parametrize(
    "strange",
    [{"method": "gone"}, {"steps": "many"}, {"guidance": float("nan")}, {"model": ["x"]}, {}],
)
def test_a_scene_from_elsewhere_is_made_with_defaults(strange):
    strange = {key: value for key, value in strange.items() if key != "model"} | (
        {"model": "gone"} if "model" in strange else {}
    )
    assert (
        regeneration(RegenerateRequest(label=1, seed=7), CAN, strange)
        == JobOptions(model="mine", method="midi", seed=7).model_dump()
    )
