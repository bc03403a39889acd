"""Sentences about pictures: what stands there, of which colour, how many, and where things are as
the camera sees them.

In the flow: things of random scenes (data/captions.py) -> captions -> the text-to-image model of
ComboVerse learns what "to the left of" looks like; things of a perceived photo
(methods/comboverse/describe.py) -> the prompt by which ComboVerse arranges them, in the same words.
A caption is a function of the things and a generator. Relations come from boxes and the camera's
place: one thing is *on* another when it rests on it and is *under* what rests on it; else the one
that is more to the side is left or right, the one that is more along the line of sight in front or
behind, and in between nothing is said.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from maquette.geometry.boxes import longest_side
from maquette.models.nouns import NOUNS, OBJECT, synonyms

# Colour words and sRGB values that everybody calls so: a colour gets the word of the closest value
# in CIELAB, lightness counting half.
_COLOURS: Mapping[str, tuple[str, ...]] = {
    "black": ("101010", "282828"),
    "grey": ("606060", "808080", "a0a0a0"),
    "white": ("d8d8d8", "f8f8f8"),
    "red": ("c01818", "801010", "e04040"),
    "orange": ("e88010", "c86818", "f0a050"),
    "yellow": ("e8d020", "c0a818", "f0e080"),
    "green": ("20a030", "105018", "70c060", "708820"),
    "turquoise": ("20a8a0", "106868", "80d8d0"),
    "blue": ("2050c8", "102060", "5890e0", "304870"),
    "purple": ("7028a8", "401860", "a878d0"),
    "pink": ("e86098", "f0a8c0", "b04878"),
    "brown": ("6a4020", "402810", "906848"),
    "beige": ("d0b898", "b09878"),
}
COLOURS: tuple[str, ...] = tuple(_COLOURS)
COUNTS = ("two", "three", "four")
OPPOSITE = {
    "on": "under",
    "under": "on",
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "in front of": "behind",
    "behind": "in front of",
    "next to": "next to",
}
COMPLETION = "a complete 3D model"  # ComboVerse's prompt for what is hidden

# Words that share an entry are the same word to a network.
_GRAMMAR = (
    "a an",
    "the",
    "and",
    "of",
    "to",
    "in",
    "on",
    "under below beneath underneath",
    "front",
    "left",
    "right",
    "next",
    "behind",
    "beside near",
    "above over",
    "3d",
    "model",
    "complete whole",
    "picture photo image",
    "with",
    "is are",
    "some several many",
    *COUNTS,
)
VOCABULARY: tuple[str, ...] = (
    *_GRAMMAR,
    "grey gray",
    *(c for c in COLOURS if c != "grey"),
    *(" ".join(synonyms(noun)) for noun in NOUNS),
)

# Shade says less of a colour's name than its hue: gold in the dark is no brown.
LAB_WEIGHTS = np.array([0.5, 1.0, 1.0], np.float32)
RESTS = 0.06  # gap between a thing and what it rests on, in sides of the smaller box
CLEAR = 1.3  # by how much one direction must outweigh the other for a relation to be said
CLOSE = 0.35  # gap between neighbours that are "next to" each other, in sides of the smaller box


@dataclass(frozen=True, eq=False)
class Thing:
    """One object as a caption sees it."""

    noun: str
    colour: str  # "" = not known
    box: np.ndarray  # (2, 3) float64, scene frame (+Y up)

    @property
    def plan(self) -> np.ndarray:
        """(2, 2) the box from above, x and z."""
        return self.box[:, [0, 2]]

    @property
    def side(self) -> float:
        """Its longest side."""
        return longest_side(self.box)


# ---- what is there


def _lab(colours: np.ndarray) -> np.ndarray:
    """(N, 3) sRGB 0..255 -> (N, 3) float32 CIELAB."""
    shares = np.asarray(colours, np.float32)[None] / np.float32(255)
    return cv2.cvtColor(shares, cv2.COLOR_RGB2LAB)[0]


def colour_word(pixels: np.ndarray) -> str:
    """The word for the middle colour of pixels (N, 3) uint8 sRGB: the median in CIELAB, so a red
    cap with a white stem is red.
    """
    middle = np.median(_lab(pixels.reshape(-1, 3)), axis=0)
    named = [(word, value) for word, values in _COLOURS.items() for value in values]
    known = _lab(np.array([list(bytes.fromhex(value)) for _, value in named]))
    distances = np.linalg.norm((known - middle) * LAB_WEIGHTS, axis=1)
    word, _ = named[int(distances.argmin())]
    return word


def mirrored_thing(thing: Thing) -> Thing:
    """The thing in a picture that is flipped left to right (the camera's x is negated too)."""
    flipped = thing.box.copy()
    flipped[:, 0] = -thing.box[::-1, 0]
    return dataclasses.replace(thing, box=flipped)


# ---- where it is


def rests_on(a: Thing, b: Thing) -> bool:
    """Whether ``a`` stands on ``b``: its base at the top of ``b``, its centre above the box of
    ``b``.
    """
    tolerance = RESTS * min(a.side, b.side)
    low, high = b.plan
    centre = a.plan.mean(0)
    above = bool(((centre > low) & (centre < high)).all())
    base = float(a.box[0, 1])
    floor, top = b.box[:, 1].tolist()
    return above and abs(base - top) <= tolerance and base > floor + tolerance


def relation(a: Thing, b: Thing, eye: np.ndarray) -> str | None:
    """Where ``a`` is as seen from ``eye`` (3,), scene frame: a key of ``OPPOSITE`` so that "a
    <relation> b", or None between two.
    """
    for word, upper, lower in (("on", a, b), ("under", b, a)):
        if rests_on(upper, lower):
            return word
    here, there = (thing.plan.mean(0) for thing in (a, b))
    sight = 0.5 * (here + there) - np.asarray(eye)[[0, 2]]
    sight /= max(float(np.linalg.norm(sight)), 1e-9)
    offset = here - there
    # farther, to the right
    along = float(offset @ sight)
    aside = float(offset @ np.array([-sight[1], sight[0]]))
    if abs(aside) >= CLEAR * abs(along) and aside:
        return "to the right of" if aside > 0 else "to the left of"
    if abs(along) >= CLEAR * abs(aside) and along:
        return "behind" if along > 0 else "in front of"
    return None


def are_close(a: Thing, b: Thing) -> bool:
    """Whether hardly anything fits between two things: the gap of their boxes is small."""
    (low, high), (other_low, other_high) = a.box, b.box
    apart = np.maximum(low - other_high, other_low - high)
    gap = float(np.linalg.norm(np.maximum(apart, 0.0)))
    return gap <= CLOSE * min(a.side, b.side)


# ---- sentences


def name_of(thing: Thing, rng: Generator, count: int = 1) -> str:
    """Such as "a red chair", now and then without its colour or its noun; "two red chairs"."""
    noun = thing.noun if rng.random() >= 0.06 else OBJECT
    colour = thing.colour if rng.random() >= 0.15 else ""
    words = f"{colour} {noun}".strip()
    if count > 1:
        return f"{COUNTS[count - 2]} {plural(words)}"
    return with_article(words)


def with_article(words: str) -> str:
    """``a chair``, ``an armchair``."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(words: str) -> str:
    """Several of it: "red chairs", "boxes", "knives"."""
    if words.endswith("fe"):
        return f"{words[:-2]}ves"
    if words.endswith("f"):
        return f"{words[:-1]}ves"
    if words.endswith("y") and words[-2:-1] not in tuple("aeiou"):
        return f"{words[:-1]}ies"
    return f"{words}es" if words.endswith(("s", "x", "ch", "sh")) else f"{words}s"


def caption(things: Sequence[Thing], eye: np.ndarray, rng: Generator) -> str:
    """A sentence about one to four things seen from ``eye`` (3,): every thing is named, some of the
    relations are said.
    """
    if len(things) == 1:
        return name_of(things[0], rng)
    nouns = {thing.noun for thing in things}
    alike = 2 <= len(things) <= 1 + len(COUNTS) and len(nouns) == 1
    if alike and rng.random() < 0.5:
        one = things[0]
        if len({t.colour for t in things}) > 1:
            one = dataclasses.replace(one, colour="")
        return name_of(one, rng, len(things))
    order = [things[int(k)] for k in rng.permutation(len(things))]
    said = name_of(order[0], rng)
    for before, thing in itertools.pairwise(order):
        # Each further thing is put in relation to the one before it: "a cup on a table behind a
        # chair".
        found = relation(before, thing, eye)
        beside = found in ("to the left of", "to the right of")
        if beside and are_close(before, thing) and rng.random() < 0.25:
            found = "next to"
        link = found if found and rng.random() < 0.9 else "and"
        said += f" {link} {name_of(thing, rng)}"
    return said
