"""Captions are true: of the geometry, of the colours, and in words that the vocabulary knows."""

import dataclasses

import numpy as np
import pytest

from maquette.models.sentences import (
    COUNTS,
    OPPOSITE,
    VOCABULARY,
    Thing,
    are_close,
    caption,
    colour_word,
    mirrored_thing,
    plural,
    relation,
    rests_on,
)
from maquette.models.words import Vocabulary, spatial_words, tokenise

EYE = np.array([0.0, 1.0, 5.0])  # looks along -Z


def thing(centre, size=(0.2, 0.2, 0.2), noun="box", colour="red") -> Thing:
    return Thing(
        noun,
        colour,
        np.stack([np.subtract(centre, np.divide(size, 2)), np.add(centre, np.divide(size, 2))]),
    )


def random_things(rng, count=2):
    return [thing(rng.uniform(-0.5, 0.5, 3), rng.uniform(0.05, 0.3, 3)) for _ in range(count)]


def test_sides_are_the_cameras():
    left = thing((-0.3, 0, 0))
    right = thing((0.3, 0, 0))
    near = thing((0, 0, 0.4))
    far = thing((0, 0, -0.4))
    assert (
        relation(left, right, EYE) == "to the left of" and relation(near, far, EYE) == "in front of"
    )
    behind = EYE * [1, 1, -1]  # from the other side everything is the other way round
    assert (
        relation(left, right, behind) == "to the right of"
        and relation(near, far, behind) == "behind"
    )
    assert relation(near, far, np.array([5.0, 1, 0])) == "to the left of"


def test_on_and_under_are_contact_and_nothing_else_is():
    table = thing((0, 0, 0), (1, 0.4, 1), "table")
    cup = thing((0.2, 0.25, 0.1), (0.1, 0.1, 0.1), "cup")
    assert relation(cup, table, EYE) == "on" and relation(table, cup, EYE) == "under"
    for beside in (
        (0.8, 0.25, 0),
        (0.2, 0.6, 0.1),
        (0.2, -0.15, 0.1),
    ):  # next to it, floating, inside
        assert not rests_on(thing(beside, (0.1, 0.1, 0.1)), table)


def test_relations_are_antisymmetric_and_never_both_on_and_under():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(500):
        a, b = random_things(rng)
        if rng.random() < 0.3:
            a = thing((b.box.mean(0)[0], b.box[1, 1] + 0.05, b.box.mean(0)[2]), (0.1, 0.1, 0.1))
        there = relation(a, b, EYE)
        back = relation(b, a, EYE)
        assert back == (OPPOSITE[there] if there else None)
        seen.add(there)
    assert seen == {None, "on", "to the left of", "to the right of", "in front of", "behind"}


def test_a_mirrored_scene_swaps_left_and_right_only():
    rng = np.random.default_rng(1)
    swapped = {"to the left of": "to the right of", "to the right of": "to the left of"}
    for _ in range(200):
        a, b = random_things(rng)
        eye = rng.uniform(-4, 4, 3)
        there = relation(a, b, eye)
        assert relation(mirrored_thing(a), mirrored_thing(b), eye * [-1, 1, 1]) == swapped.get(
            there, there
        )
        np.testing.assert_allclose(mirrored_thing(mirrored_thing(a)).box, a.box)


def test_swapping_places_swaps_the_sentence():
    a = thing((-0.3, 0, 0), noun="chair")
    b = thing((0.5, 0, 0.1), noun="table", colour="blue")
    moved = dataclasses.replace(a, box=b.box), dataclasses.replace(b, box=a.box)
    swap = {"left": "right", "right": "left"}
    for seed in range(20):
        before, after = (
            caption(pair, EYE, np.random.default_rng(seed)) for pair in ((a, b), moved)
        )
        assert [swap.get(word, word) for word in tokenise(before)] == list(tokenise(after))


def test_captions_are_a_function_of_the_generator_and_name_everything():
    things = [
        thing((x, 0, z), noun=noun)
        for x, z, noun in ((-0.3, 0, "chair"), (0.3, 0.1, "table"), (0, -0.4, "tree"))
    ]
    texts = [caption(things, EYE, np.random.default_rng(seed)) for seed in range(40)]
    assert (
        texts == [caption(things, EYE, np.random.default_rng(seed)) for seed in range(40)]
        and len(set(texts)) > 10
    )
    for text in texts:
        assert sum(tokenise(text).count(noun) for noun in ("chair", "table", "tree", "object")) == 3
    assert any(any(spatial_words(text)) for text in texts)


def test_equal_things_are_counted():
    boxes = [thing((x, 0, 0)) for x in (-0.4, 0, 0.4)]
    texts = {caption(boxes, EYE, np.random.default_rng(seed)) for seed in range(60)}
    assert "three red boxes" in texts and not any(
        word in text for text in texts for word in ("two", "four")
    )
    mixed = [thing((x, 0, 0), colour=colour) for x, colour in ((-0.4, "red"), (0.4, "blue"))]
    counted = {
        t
        for t in (caption(mixed, EYE, np.random.default_rng(s)) for s in range(60))
        if t.split()[0] in COUNTS
    }
    assert counted == {"two boxes", "two objects"}  # not two red ones


def test_all_words_of_captions_are_in_the_vocabulary():
    known = Vocabulary(VOCABULARY)
    rng = np.random.default_rng(2)
    nouns = ["chair", "box", "knife", "shelf", "bus", "couch"]
    for _ in range(200):
        things = [
            dataclasses.replace(t, noun=str(rng.choice(nouns)))
            for t in random_things(rng, int(rng.integers(1, 5)))
        ]
        text = caption(things, EYE, rng)
        assert known.number("nonsense") not in known.numbers(text, 40), text
    assert [plural(w) for w in ("chair", "box", "knife", "shelf", "key")] == [
        "chairs",
        "boxes",
        "knives",
        "shelves",
        "keys",
    ]


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        ((250, 250, 250), "white"),
        ((10, 10, 10), "black"),
        ((130, 130, 130), "grey"),
        ((220, 30, 30), "red"),
        ((110, 10, 10), "red"),
        ((240, 140, 20), "orange"),
        ((240, 220, 40), "yellow"),
        ((30, 150, 50), "green"),
        ((10, 60, 15), "green"),
        ((30, 70, 200), "blue"),
        ((15, 25, 90), "blue"),
        ((120, 40, 170), "purple"),
        ((240, 130, 180), "pink"),
        ((90, 55, 25), "brown"),
        ((210, 185, 150), "beige"),
        ((30, 170, 165), "turquoise"),
    ],
)
def test_colours_have_their_usual_names_whatever_the_noise(rgb, word):
    pixels = np.clip(np.random.default_rng(0).normal(rgb, 6, (200, 3)), 0, 255).astype(np.uint8)
    assert colour_word(pixels) == colour_word(np.uint8([rgb])) == word


def test_closeness_is_relative_to_the_smaller_thing():
    assert are_close(thing((0, 0, 0)), thing((0.25, 0, 0))) and not are_close(
        thing((0, 0, 0)), thing((0.35, 0, 0))
    )
    assert not are_close(thing((0, 0, 0), (1, 1, 1)), thing((0.6, 0, 0), (0.1, 0.1, 0.1)))
