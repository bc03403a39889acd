"""Prompts as words: how they are split, numbered, and which of them say where things are.

In the flow: the embedded text-to-image model numbers words, captions are made of them
(sentences.py), and spatially-aware score distillation multiplies the attention to the spatial ones
(ComboVerse, arXiv 2403.12409, section 3.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

# the first token of every prompt, and what a word outside the vocabulary becomes
MARKER = "<start>"
UNKNOWN = "<unknown>"
PADDING = 0  # number of no word; the marker is 1, the unknown word 2
ARTICLES = ("a", "an", "the")
# Endings and what they stand for.
_PLURALS = (("s", ""), ("es", ""), ("ves", "f"), ("ves", "fe"), ("ies", "y"))

# Longer phrases first: "to the left of" is one phrase, not "left of" after something else.
SPATIAL_PHRASES: tuple[tuple[str, ...], ...] = tuple(
    tuple(phrase.split())
    for phrase in (
        "to the left of",
        "to the right of",
        "on the left of",
        "on the right of",
        "in front of",
        "on top of",
        "front of",
        "left of",
        "right of",
        "next to",
        "close to",
        "behind",
        "beside",
        "near",
        "on",
        "onto",
        "under",
        "underneath",
        "below",
        "beneath",
        "above",
        "over",
        "inside",
        "in",
        "between",
        "against",
        "around",
        "riding",
        "sitting",
        "standing",
        "leaning",
        "lying",
        "holding",
    )
)


def tokenise(prompt: str) -> tuple[str, ...]:
    """Lower-case words of a prompt; punctuation separates them and is dropped. "A 3D model." ->
    ("a", "3d", "model").
    """
    return tuple(re.findall(r"[a-z0-9]+", prompt.lower()))


def spatial_words(words: str | Sequence[str]) -> tuple[bool, ...]:
    """One flag for each word: whether it belongs to a spatial phrase ("in front of", "to the left
    of", "on"); articles never do.

    ``words`` is a prompt, or its tokens as a prior names them (``prior.words(prompt)``), also those
    of byte-pair encodings that mark the end of a word ("front</w>"); markers and parts of words are
    no spatial words. Phrases: ``SPATIAL_PHRASES``.
    """
    plain = tokenise(words) if isinstance(words, str) else _whole_words(words)
    flags = [False] * len(plain)
    position = 0
    while position < len(plain):
        phrase = next((p for p in SPATIAL_PHRASES if plain[position : position + len(p)] == p), ())
        for offset, word in enumerate(phrase):
            flags[position + offset] = word not in ARTICLES
        position += max(len(phrase), 1)
    return tuple(flags)


def _whole_words(tokens: Sequence[str]) -> tuple[str, ...]:
    """Tokens as lower-case words; "" for the pieces of a word that a byte-pair encoding split."""
    if not any(token.endswith("</w>") for token in tokens):
        return tuple(token.lower() for token in tokens)
    ends = [token.endswith("</w>") or token.startswith("<") for token in tokens]
    starts = [True, *ends[:-1]]
    return tuple(
        token.lower().removesuffix("</w>") if start and end else ""
        for token, start, end in zip(tokens, starts, ends)
    )


@dataclass(frozen=True)
class Vocabulary:
    """The words that a network knows, by number; words of one entry ("sofa couch lounge") share a
    number.
    """

    entries: tuple[str, ...]  # without markers
    _numbers: dict[str, int] = field(
        default_factory=dict,
        init=False,
        repr=False,
        compare=False,
    )

    def __post_init__(self) -> None:
        for number, entry in enumerate((MARKER, UNKNOWN, *self.entries), 1):
            for word in entry.split():
                self._numbers.setdefault(word, number)

    def __len__(self) -> int:
        """How many numbers there are, padding and markers included."""
        return len(self.entries) + 3

    def number(self, word: str) -> int:
        """The number of a word or of its singular ("chairs" is "chair": how many there are is said
        by "two"), or of the unknown one.
        """
        forms = [word]
        forms += [word.removesuffix(end) + stem for end, stem in _PLURALS if word.endswith(end)]
        known = (self._numbers[form] for form in forms if form in self._numbers)
        return next(known, self._numbers[UNKNOWN])

    def numbers(self, prompt: str, length: int) -> list[int]:
        """``length`` numbers of a prompt: the marker, its words, padding; words beyond the length
        are dropped.
        """
        found = [self._numbers[MARKER], *(self.number(word) for word in tokenise(prompt))][:length]
        return found + [PADDING] * (length - len(found))
