"""What a photo shows, as the prompt by which ComboVerse arranges it: "a lamp on a box to the left
of a red chair".

In the flow: photo + Perception -> a sentence in the words of ``models.sentences``, in which the
embedded text-to-image model was trained. Colours are those of the pixels, relations those of the
estimated boxes. A user's own prompt is better: it knows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from maquette.models.nouns import noun_of
from maquette.models.sentences import COUNTS, Thing, colour_word, relation, with_article
from maquette.stages.perceive import Perception

MOST = 1 + len(COUNTS)  # things in a sentence: the model has not seen more
CONTACTS = ("on", "under")  # relations that say more than others


def prompt_of(image: np.ndarray, perception: Perception, labels: Sequence[int]) -> str:
    """A sentence about the objects of a photo (H, W, 3) uint8, the largest MOST of them, by the
    names of their masks.
    """
    pixels = {label: perception.label_map == label for label in labels}
    largest = sorted(labels, key=lambda label: -int(pixels[label].sum()))[:MOST]
    things = []
    for label in largest:
        noun = noun_of(perception.names.get(label, ""))
        things.append(Thing(noun, colour_word(image[pixels[label]]), perception.boxes[label]))
    return sentence(things, perception.camera.position)


def sentence(things: Sequence[Thing], eye: np.ndarray) -> str:
    """The order of one to MOST things in which the most relations between neighbours can be said,
    seen from ``eye`` (3,), as a sentence.
    """
    numbers = range(len(things))
    pairs = itertools.permutations(numbers, 2)
    found = {(a, b): relation(things[a], things[b], eye) for a, b in pairs}

    def worth(order: tuple[int, ...]) -> tuple[int, int]:
        said = [found[pair] for pair in itertools.pairwise(order)]
        contacts = said.count("on") + sum(word in CONTACTS for word in said)
        return contacts, len(said) - said.count(None)

    # the first of equals, so that the largest thing leads
    best = max(itertools.permutations(numbers), key=worth)
    words = named(things[best[0]])
    for before, thing in itertools.pairwise(best):
        words += f" {found[before, thing] or 'and'} {named(things[thing])}"
    return words


def named(thing: Thing) -> str:
    """A thing by its colour and noun: "a red chair"."""
    return with_article(f"{thing.colour} {thing.noun}".strip())
