"""Nouns from the names of assets."""

import pytest

from maquette.data.procedural import FAMILIES
from maquette.models.nouns import NOUNS, OBJECT, WORDS, noun_of, synonyms


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("house-interior-pack-bunk-bed-2", "bed"),  # the collection's "house" does not count
        ("nature-pack-birch-tree-dead-1", "tree"),
        ("city-builder-bits-bench", "bench"),
        ("medieval-chairs", "chair"),
        ("fish-pack-3", "fish"),  # nothing but the collection is known
        ("widget-12", OBJECT),
        ("", OBJECT),
        ("table-0f3a9c21", "table"),
    ],
)
def test_the_head_noun_names_the_thing(name, noun):
    assert noun_of(name) == noun


def test_procedural_families_have_nouns():
    assert {
        family: noun_of(f"{family}-1a2b3c4d") for family in FAMILIES if noun_of(family) == OBJECT
    } == {}
    assert noun_of("chair-00beefed") == "chair" and noun_of("mug-00000000") == "cup"


def test_every_noun_stands_for_itself_and_no_word_for_two():
    assert all(noun_of(noun) == noun for noun in NOUNS) and len(set(NOUNS)) == len(NOUNS)
    listed = [word for noun in NOUNS for word in synonyms(noun)]
    assert len(listed) == len(set(listed)) and set(listed) == set(WORDS) | {OBJECT}
