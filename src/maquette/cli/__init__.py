"""The command line: one module per command, each with ``add_parser`` and ``run``. Thin; imports
heavy modules only in ``run``.

Exit codes: 0 done, 1 something failed, 2 wrong input, 130 interrupted. A MaquetteError is one line
on stderr, never a traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

from maquette.errors import MaquetteError

IMPORTING = "<frozen importlib._bootstrap"  # what runs a module is called so
SOON = 0.05  # seconds


def build_parser() -> argparse.ArgumentParser:
    """The complete parser; building it imports nothing heavy."""
    from maquette import __version__
    from maquette.cli import (
        app,
        benchmark,
        data,
        demo,
        evaluate,
        export,
        generate,
        geometry,
        masks,
        models,
        report,
        serve,
        settle,
        train,
        view,
    )

    parser = argparse.ArgumentParser(
        prog="maquette",
        description="One photo in, an editable 3D scene out: "
        "every object a separate, complete, coloured mesh.",
    )
    parser.add_argument("--version", action="version", version=f"maquette {__version__}")
    subparsers = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
    )
    scenes = (generate, demo, view, settle, export, app, serve, masks, geometry, models)
    for command in (*scenes, evaluate, benchmark, report, data, train):
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    command = "maquette"
    try:
        with _ended_by_signals():
            args = build_parser().parse_args(argv)
            command = f"maquette {args.command}"
            return int(args.run(args) or 0)
    except MaquetteError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            f"{command}: interrupted; whatever was finished is kept, run the same command again",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has left
        sys.stderr.close()
        return 0
    # permissions, a full disk: what the operating system says is the clearest line there is
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"{command}: {where}{error.strerror or error}; nothing was left half-written",
            file=sys.stderr,
        )
        return 1


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise KeyboardInterrupt in the body, also in background jobs, which shells
    start deaf to SIGINT.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = {
        number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """KeyboardInterrupt, but for in an import, which comes to its end first: libraries that are
    interrupted in it go on without a part of them, or end the process.
    """
    while frame is not None and not frame.f_code.co_filename.startswith(IMPORTING):
        frame = frame.f_back
    if frame is None:
        raise KeyboardInterrupt
    again = threading.Timer(SOON, signal.raise_signal, (number,))
    again.daemon = True
    again.start()
