"""Errors that a user can act on: each message says what was given, what was expected and what to
do.

First module of the flow; everything may import it. The command line prints the message of a
MaquetteError on one line and exits with its ``exit_code``; any other exception is a bug.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator
from typing import TypeVar

REASON_LENGTH = 200  # characters of another library's message that one of ours quotes
LONGEST_MESSAGE = 1000  # characters

logger = logging.getLogger(__name__)
T = TypeVar("T")


class MaquetteError(Exception):
    """Base of all errors that maquette raises on purpose.

    Whatever a message quotes from a stranger's file, it is one line of at most LONGEST_MESSAGE
    characters; a longer one lacks its middle, for what was given and what to do are at its ends.
    """

    exit_code = 1

    def __str__(self) -> str:
        line = " ".join(super().__str__().splitlines())
        half = LONGEST_MESSAGE // 2 - 3
        return line if len(line) <= LONGEST_MESSAGE else f"{line[:half]} ... {line[-half:]}"


class InputError(MaquetteError):
    """What the user gave cannot be used: a missing file, a truncated image, an empty mask, an
    unknown option value.
    """

    exit_code = 2


class OutputError(MaquetteError):
    """A result cannot be written: the folder is not writable, the disk is full, or a file would be
    overwritten.
    """


class CheckpointError(MaquetteError):
    """Weights are missing, truncated, or do not match their recorded sha256 or configuration."""


class MissingExtraError(MaquetteError):
    """An optional dependency is needed; the message names the exact ``pip install`` line."""


def require_extra(
    library: str,
    purpose: str,
    extra: str,
    instead: str = "",
) -> None:
    """MissingExtraError with the line to install, and what to do ``instead``, when a library of an
    extra is not there.
    """
    if importlib.util.find_spec(library) is None:
        line = f"install it with: pip install 'maquette[{extra}]'"
        raise MissingExtraError(f"{purpose} needs {library}; {line}{instead}")


@contextlib.contextmanager
def contained(what: str, remedy: str, kind: type[MaquetteError] = InputError) -> Iterator[None]:
    """Turn whatever the body raises into the InputError (or ``kind``) "what (reason); remedy".

    For the few places where one file of many must not end the work, or where a library decodes
    what strangers wrote and raises what nobody can list. MaquetteErrors pass as they are; Ctrl-C
    and exits are no ``Exception``. The traceback is in the log, for it may be a bug after all.
    """
    try:
        yield
    except MaquetteError:
        raise
    except Exception as error:
        logger.debug("%s", what, exc_info=error)
        raise kind(f"{what} ({reason_of(error)}); {remedy}") from error


def present(value: T | None, what: str) -> T:
    """A value that other uses do without; ValueError says what is missing where it is needed."""
    if value is None:
        raise ValueError(f"there is no {what} here; do not ask for it")
    return value


def reason_of(error: BaseException) -> str:
    """What an exception says, as part of a line; with its kind, where the words would puzzle."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    said = str(error).strip().partition("\n")[0]
    if isinstance(error, MaquetteError):
        return said
    kind = type(error).__name__
    if not said:
        return kind
    telling = isinstance(error, (ValueError, OSError))
    return said[:REASON_LENGTH] if telling else f"{kind}: {said[:REASON_LENGTH]}"
