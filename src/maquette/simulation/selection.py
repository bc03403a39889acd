"""Objects as people call them, and names as formats allow them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from maquette.errors import InputError
from maquette.types import Scene

Assignments = Mapping[Any, Any] | Iterable[str]  # {"chair": 4.5}, or words "chair=4.5"


class Called(Protocol):
    """What people call an object by: an instance of a scene, or a mask before there is one."""

    @property
    def label(self) -> int:
        """Of the mask."""
        ...

    @property
    def name(self) -> str:
        """What it is; "" where that is not known."""
        ...

    @property
    def node_name(self) -> str:
        """Of its node in exported files."""
        ...


def chosen_instances(objects: Sequence[Called], word: object, what: str) -> list[Called]:
    """The objects with this node name, else with this name, else with this label.

    InputError, which begins with ``what``, when there is none.
    """
    text = str(word).strip()
    by_node = [instance for instance in objects if instance.node_name == text]
    by_name = [instance for instance in objects if instance.name == text != ""]
    by_label = [instance for instance in objects if str(instance.label) == text]
    found = by_node or by_name or by_label
    if found:
        return found
    known = ", ".join(_described(instance) for instance in objects)
    raise InputError(f"{what}: no object is called {text!r}; the scene has {known or 'none'}")


def _described(instance: Called) -> str:
    return f"{instance.label} ({instance.name or instance.node_name})"


def assigned(
    objects: Sequence[Called],
    given: Assignments,
    option: str,
    read: Callable[[Any], float],
) -> dict[int, float]:
    """Label -> value of what was said as "NAME=VALUE" or as a mapping; ``read`` makes the value.

    InputError for what names nothing or has no value.
    """
    values: dict[int, float] = {}
    for name, value in _pairs(given, option):
        what = f"{option} {name}={value}"
        try:
            number = read(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{what}: {error}") from error
        values |= {found.label: number for found in chosen_instances(objects, name, what)}
    return values


def _pairs(given: Assignments, option: str) -> list[tuple[Any, Any]]:
    if isinstance(given, Mapping):
        return list(given.items())
    pairs = []
    for word in [given] if isinstance(given, str) else given:
        name, equals, value = str(word).rpartition("=")
        if not equals or not name:
            raise InputError(f"{option} is NAME=VALUE, such as chair=0.9, got {word!r}")
        pairs.append((name, value))
    return pairs


def labels_of(scene: Scene, given: str | int | Iterable[Any], option: str) -> frozenset[int]:
    """The labels of objects said as "chair,3", or as a list of labels and names."""
    listed = [given] if isinstance(given, (str, int)) else list(given)
    words = [part for word in listed for part in str(word).split(",") if part.strip()]
    return frozenset(
        instance.label
        for word in words
        for instance in chosen_instances(scene.instances, word, f"{option} {word}")
    )


def unique_names(
    names: Iterable[str], allowed: Callable[[str], str], reserved: Collection[str] = ()
) -> list[str]:
    """Names that a format allows, different from each other and from those reserved, whatever the
    case of their letters; what is fine already stays.
    """
    taken = {name.lower() for name in reserved}
    found = []
    for name in names:
        fine = allowed(name)
        number = 2
        while fine.lower() in taken:
            fine = f"{allowed(name)}_{number}"
            number += 1
        taken.add(fine.lower())
        found.append(fine)
    return found


def file_stem(name: str) -> str:
    """A name that every file system and every reader of paths takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._") or "object"


def xml_name(name: str) -> str:
    """A name without white space and what XML cannot hold."""
    return re.sub(r"[\s\x00-\x20\x7f/]+|[\ufffe\uffff]", "_", name) or "object"


def prim_name(name: str) -> str:
    """A name of a USD prim: letters, digits and _, not a digit first."""
    fine = re.sub(r"[^A-Za-z0-9_]+", "_", name) or "object"
    return f"_{fine}" if fine[0].isdigit() else fine
