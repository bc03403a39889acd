"""An option is declared once: a field of a frozen dataclass that carries its help and its bounds.

From the declaration come the arguments of the command line, the checks of the values, the schema
that the app offers, and the tables of the documents. First station of the flow: it knows nothing of
what the options are for.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from maquette.errors import InputError

_KEY = "maquette.option"
_Chosen = TypeVar("_Chosen")


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is known of an option besides its name and its default."""

    help: str
    kind: type  # bool, int, float or str: of the value in a form and on the command line
    least: float | None = None  # the smallest value allowed
    most: float | None = None  # the largest value allowed
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # what may be said instead of a number
    metavar: str | None = None
    flags: tuple[str, ...] = ()  # on the command line; () = --its-name; its name = by its place
    group: str | None = None  # heading in the help of the command line
    repeated: bool = False  # may be given several times on the command line: a tuple of words
    read: Callable[[str], Any] | None = None  # from a word of the command line to the value

    def check(self, name: str, value: Any) -> None:
        """InputError unless the value can be meant; ``None`` leaves the choice to the program."""
        if value is None or value in self.words:
            return
        if self.kind in (int, float):
            fits = self._is_number(value) and self._is_within(value)
        elif self.choices:
            fits = value in self.choices
        else:
            fits = isinstance(value, self.kind)
        if not fits:
            raise InputError(f"{name} must be {self.expected()}, got {value!r}")

    def expected(self) -> str:
        """The values that are allowed, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind is bool:
            return "True or False"
        if self.kind is str:
            return "a text"
        kind = "a whole number" if self.kind is int else "a finite number"
        return " or ".join([kind + self._bounds(), *(repr(word) for word in self.words)])

    def _bounds(self) -> str:
        if self.least is not None and self.most is not None:
            return f" from {self.least:.10g} to {self.most:.10g}"
        if self.least is not None:
            return f" of at least {self.least:.10g}"
        return "" if self.most is None else f" of at most {self.most:.10g}"

    def _is_number(self, value: Any) -> bool:
        if isinstance(value, bool) or not hasattr(
            value, "__index__" if self.kind is int else "__float__"
        ):
            return False
        return math.isfinite(value)

    def _is_within(self, value: Any) -> bool:
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most)

    def parse(self, word: str) -> Any:
        """A word of the command line as a value. ValueError when it is none."""
        if word in self.words:
            return word
        return self.kind(word) if self.read is None else self.read(word)


def option(default: Any = dataclasses.MISSING, *, help: str, **declared: Any) -> Any:
    """A field of a dataclass of options; ``declared``: what Declaration takes.

    ``kind`` is that of the default when it is left out; what is repeated are texts. Without a
    default the command line has to give it.
    """
    if declared.get("repeated"):
        declared = {"kind": object, "read": str} | declared
    if "kind" not in declared:
        declared["kind"] = type(default)
    return dataclasses.field(default=default, metadata={_KEY: Declaration(help=help, **declared)})


def declarations(options: type) -> dict[str, Declaration]:
    """Name -> declaration, of every declared field of a dataclass, in its order."""
    return {
        field.name: field.metadata[_KEY]
        for field in dataclasses.fields(options)
        if _KEY in field.metadata
    }


def names_of(options: type) -> list[str]:
    """Names of the fields of a dataclass."""
    return [field.name for field in dataclasses.fields(options)]


def refuse_unknown(given: Iterable[str], known: Collection[str], what: str) -> None:
    """InputError for the first name of an option that is not known, with the nearest one that is;
    ``what`` takes the options.
    """
    for name in given:
        if name not in known:
            like = difflib.get_close_matches(name, known, 1)
            meant = f"did you mean {like[0]!r}?" if like else f"it has {', '.join(sorted(known))}"
            raise InputError(f"{what} has no option {name!r}; {meant}")


def check_bounds(options: Any) -> None:
    """InputError for the first value of a dataclass of options that is outside of its bounds."""
    for name, declaration in declarations(type(options)).items():
        declaration.check(name, getattr(options, name))


def add_options(
    parser: argparse.ArgumentParser, options: type, names: Iterable[str] | None = None
) -> None:
    """Declare the options, or some of them, on a command line, each under its heading.

    A parser whose ``argument_default`` is SUPPRESS keeps to itself what was not said.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}
    found = declarations(options)
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for name in found if names is None else names:
        declaration = found[name]
        where: Any = parser
        if declaration.group is not None:
            if declaration.group not in groups:
                groups[declaration.group] = parser.add_argument_group(declaration.group)
            where = groups[declaration.group]
        keywords = _argument(name, declaration, defaults[name])
        if parser.argument_default is argparse.SUPPRESS:
            keywords.pop("default", None)
        where.add_argument(*_flags(name, declaration), **keywords)


def _flags(name: str, declaration: Declaration) -> tuple[str, ...]:
    return declaration.flags or (f"--{name.replace('_', '-')}",)


def values_of(record: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as they are: nothing is copied."""
    return {name: getattr(record, name) for name in names_of(record)}


def _argument(name: str, declaration: Declaration, default: Any) -> dict[str, Any]:
    """The keywords of ``add_argument``. A flag without a dash stands for a place in the line."""
    common: dict[str, Any] = {"help": declaration.help.replace("%", "%%")}
    if _flags(name, declaration)[0].startswith("-"):
        required = default is dataclasses.MISSING
        common |= {"dest": name} | ({"required": True} if required else {"default": default})
    if declaration.kind is bool and not declaration.flags:  # on and off
        return common | {"action": argparse.BooleanOptionalAction}
    if declaration.kind is bool:
        return common | {"action": "store_false" if default else "store_true"}
    if declaration.repeated:
        common |= {
            "action": "extend",
            "nargs": 1,
            "default": list(default),
        }
    return common | {
        "type": _reader(declaration),
        "choices": declaration.choices or None,
        "metavar": declaration.metavar,
    }


def _reader(declaration: Declaration) -> Callable[[str], Any]:
    """What reads a word of the command line, and says what was expected of one that is wrong."""

    def read(word: str) -> Any:
        try:
            return declaration.parse(word)
        except ValueError as error:
            expected = f"expected {declaration.expected()}, got {word!r}"
            raise argparse.ArgumentTypeError(expected) from error

    return read


def chosen(options: type[_Chosen], args: argparse.Namespace, **more: Any) -> _Chosen:
    """The options that a command line gives; ``more``: those that it does not have."""
    there: dict[str, Any] = {}
    for name, declaration in declarations(options).items():
        if hasattr(args, name):
            value = getattr(args, name)
            declaration.check(_flags(name, declaration)[0], value)  # in the command line's words
            there[name] = tuple(value) if declaration.repeated else value
    return options(**(there | more))


def table(options: type, names: Iterable[str] | None = None) -> str:
    """A Markdown table of the options, as the documents show them."""
    found = declarations(options)
    rows = ["| option | |", "|---|---|"]
    for name in found if names is None else names:
        declaration = found[name]
        value = declaration.metavar or "\\|".join(declaration.choices)
        flag = " or ".join(f"`{flag}`" for flag in _flags(name, declaration))
        if declaration.kind is not bool:
            flag = flag[:-1] + f" {value}`"
        rows.append(f"| {flag} | {declaration.help} |")
    return "\n".join(rows) + "\n"
