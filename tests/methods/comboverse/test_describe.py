"""The prompt says what stands where: colours, names and relations, in the words of the embedded
text-to-image model.
"""

import dataclasses

import numpy as np
import pytest

from maquette.methods.comboverse.describe import MOST, named, prompt_of, sentence
from maquette.models.sentences import VOCABULARY, Thing
from maquette.models.words import Vocabulary, spatial_words, tokenise
from tests.methods.worlds import world

EYE = np.array([0.0, 1.0, 3.0])


def thing(noun, x, y=0.0, z=0.0, colour="red", side=0.2):
    centre = np.array([x, y, z])
    return Thing(noun, colour, np.stack([centre - side / 2, centre + side / 2]))


def test_what_is_on_something_is_said_first():
    lamp = thing("lamp", 0, 0.2)
    box = thing("box", 0, 0.0, colour="blue")
    assert sentence([box, lamp], EYE) == "a red lamp on a blue box" and sentence(
        [lamp, box], EYE
    ) == sentence([box, lamp], EYE)


def test_every_thing_is_named_and_relations_are_of_neighbours():
    things = [
        thing("chair", -0.4),
        thing("table", 0.4, colour="white"),
        thing("lamp", 0.4, 0.2, colour=""),
    ]
    said = sentence(things, EYE)
    assert all(named(t) in said for t in things) and "a lamp on a white table" in said
    assert sum(spatial_words(said)) >= 2 and sentence(things[:1], EYE) == "a red chair"


def test_the_same_place_has_no_relation_to_say():
    assert (
        sentence([thing("box", 0), thing("apple", 0, colour="orange")], EYE)
        == "a red box and an orange apple"
    )


@pytest.mark.parametrize(("names", "noun"), [({1: "wooden chair", 2: ""}, "chair"), ({}, "object")])
def test_a_photo_is_described_by_its_masks_names_its_colours_and_its_boxes(names, noun):
    w = world()
    image = w.image.copy()
    image[w.perception.label_map == 1] = (200, 20, 20)
    said = prompt_of(image, dataclasses.replace(w.perception, names=names), [1, 2])
    assert f"a red {noun}" in said and "object" in said
    vocabulary = Vocabulary(VOCABULARY)
    assert all(vocabulary.number(word) != vocabulary.number("zzz") for word in tokenise(said))


def test_only_the_largest_are_named_when_there_are_many():
    w = world()
    labels = w.perception.label_map.copy()
    for k in range(3, 3 + MOST):
        labels[:4, 4 * k : 4 * k + k] = k
    perception = dataclasses.replace(
        w.perception,
        label_map=labels,
        boxes=dict.fromkeys(range(1, 3 + MOST), w.perception.boxes[1]),
    )
    assert prompt_of(w.image, perception, range(1, 3 + MOST)).count("object") == MOST
