import pytest

from maquette.errors import InputError
from maquette.simulation.selection import (
    chosen_instances,
    file_stem,
    labels_of,
    prim_name,
    unique_names,
    xml_name,
)
from tests.document.scenes import make_scene


def labels(word):
    return [instance.label for instance in chosen_instances(make_scene().instances, word, "--mass")]


def test_objects_are_called_by_node_name_or_label():
    assert labels("crate \u00e9") == labels("3") == labels(3) == [3]
    assert labels("ball") == labels("instance_1") == [1]
    assert labels_of(make_scene(), ["ball,3", 12], "--static") == {1, 3, 12}


def test_what_is_not_there_is_refused():
    with pytest.raises(InputError, match="--mass: no object is called '7'"):
        labels(7)


@pytest.mark.parametrize("allowed", [file_stem, xml_name, prim_name])
@pytest.mark.parametrize("name", ["", "a b/c", "\u00e9\u00e8", "..", "1", "a\nb", "\ufffe", "a:b"])
def test_any_name_becomes_one_that_is_allowed(allowed, name):
    fine = allowed(name)
    assert fine and allowed(fine) == fine
    assert not set(fine) & set(" /\n\ufffe")


def test_prims_begin_with_a_letter():
    assert prim_name("3 cups") == "_3_cups" and prim_name("chair_1") == "chair_1"


def test_names_are_unique_whatever_their_case():
    assert unique_names(["Cup", "cup", "world", "b"], xml_name, ["world"]) == [
        "Cup",
        "cup_2",
        "world_2",
        "b",
    ]
