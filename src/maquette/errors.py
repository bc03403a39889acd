"""Errors that a user can act on: each message says what was given, what was expected and what to
do.

First module of the flow; everything may import it. The command line prints the message of a
MaquetteError on one line and exits with its ``exit_code``; any other exception is a bug.
"""


class MaquetteError(Exception):
    """Base of all errors that maquette raises on purpose."""

    exit_code = 1


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
