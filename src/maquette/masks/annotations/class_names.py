"""Names of classes beside YOLO's label files: a list with one name a line, or a data set's YAML.

Of YAML only the entry ``names`` is read, as the data sets' tools write it: a list or a mapping from
number to name, on one line or several, with plain or quoted texts. Nothing is ever constructed
or executed; anything else (anchors, tags, texts over several lines) is not understood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from maquette.containers import decoded
from maquette.errors import InputError, contained

ClassNames = dict[int, str]  # class number -> name

LISTS = ("classes.txt", "obj.names", "labels.txt")  # one name a line
LEVELS = 3  # folders that are looked at: data/train/labels, data/train, data
LARGEST_FILE = 2**20  # bytes of a YAML file that is read

_QUOTED = r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\n]|\'\')*\''
_COMMENT = re.compile(rf"({_QUOTED})|(?:(?<=\s)|^)#[^\n]*", re.MULTILINE)
_START = re.compile(r"^(?:names|'names'|\"names\")[ \t]*:[ \t]*(.*)$", re.MULTILINE | re.DOTALL)
_BLOCK_LIST = re.compile(r"[ \t]*-[ \t]+(.*)")
_BLOCK_ENTRY = re.compile(r"[ \t]+['\"]?(\d+)['\"]?[ \t]*:(?:[ \t]+(.*))?")
_KEY = r"['\"]?(\d+)['\"]?\s*:\s+"
_PLAIN = r"[^\s,\]}'\"][^,\]}\n]*"
_FLOW = re.compile(rf"\s*(?:{_KEY})?(?:({_QUOTED})\s*|({_PLAIN})(?:\n\s*)?)?([,\]}}])")


def class_names(labels: Path, warnings: list[str]) -> ClassNames:
    """The names of the classes of a label file, from the nearest list or YAML in its folder or
    those above; {} when there is none. A YAML that is not understood becomes a warning.
    """
    for folder in labels.absolute().parents[:LEVELS]:
        for name in LISTS:
            if (folder / name).is_file() and folder / name != labels.absolute():
                return _of_list(folder / name)
        for path in _data_sets(folder):
            names = names_in_yaml(_text(path))
            if names is None:
                warnings.append(f"the names in {path} are not understood; classes have none")
            return names or {}
    return {}


def _of_list(path: Path) -> ClassNames:
    with contained(f"{path}: not a list of names", "remove it"):
        listed = decoded(path.read_bytes()).splitlines()
    return {k: text.strip() for k, text in enumerate(listed)}


def _data_sets(folder: Path) -> Iterator[Path]:
    """The YAML files with names in a folder, ``data.yaml`` first."""
    found = [path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml")]
    for path in sorted(found, key=lambda path: (path.stem != "data", path.name)):
        if _START.search(_text(path)):
            yield path


def _text(path: Path) -> str:
    """The text of a file; nothing when it is none, or too large."""
    try:
        return decoded(path.read_bytes()) if path.stat().st_size < LARGEST_FILE else ""
    except (OSError, ValueError):
        return ""


def names_in_yaml(text: str) -> ClassNames | None:
    """Number -> name, of the entry ``names`` at the top level of a YAML text; None when there is
    none, or it is not understood.
    """
    start = _START.search(_COMMENT.sub(lambda found: found[1] or "", text))
    if start is None:
        return None
    value = start[1].lstrip(" \t")
    try:
        if value[:1] in ("[", "{"):
            return _flow(value[1:], "]" if value[0] == "[" else "}")
        return _block(value.splitlines()) if value[:1] in ("\n", "\r") else None
    except InputError:
        return None


def _flow(value: str, end: str) -> ClassNames | None:
    """Entries between brackets: ``a, "b"]`` or ``0: a, 1: b}``."""
    names: ClassNames = {}
    at = 0
    while entry := _FLOW.match(value, at):
        number, quoted, plain, sign = entry.groups()
        name = quoted or plain
        if name is not None:
            names[len(names) if number is None else int(number)] = _scalar(name)
        at = entry.end()
        if sign != ",":
            return names if sign == end else None
    return None


def _block(lines: list[str]) -> ClassNames | None:
    """Entries on lines of their own: ``- a`` or ``  0: a``, until something else follows."""
    names: ClassNames = {}
    for line in filter(str.strip, lines):
        if entry := _BLOCK_LIST.fullmatch(line):
            names[len(names)] = _scalar(entry[1])
        elif entry := _BLOCK_ENTRY.fullmatch(line):
            names[int(entry[1])] = _scalar(entry[2] or "")
        elif line[0] in " \t":
            return None
        else:
            break
    return names or None


def _scalar(text: str) -> str:
    """A plain or quoted text. InputError for what is neither."""
    text = text.strip()
    if text[:1] == '"':
        with contained("not a text in quotes", "write it again"):
            return str(json.loads(text))
    if text[:1] == "'":
        return text[1:-1].replace("''", "'")
    if text[:1] in ("&", "*", "!", "|", ">", "[", "{", "%", "@", "`"):
        raise InputError(f"{text[:40]!r} is more than a text; write the name itself")
    return "" if text in ("~", "null") else text
