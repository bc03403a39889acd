"""Words and tables that several commands read and print. No command of its own, nothing heavy."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from maquette.errors import InputError
from maquette.options import MESH_FORMATS

if TYPE_CHECKING:
    from tqdm import tqdm


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """The rows of a table as lines; ``right``: the columns whose cells end together."""
    columns = range(len(rows[0]))
    widths = [max(len(row[k]) for row in rows) for k in columns]

    def line(row: Sequence[str]) -> str:
        cells = [
            row[k].rjust(widths[k]) if k in right else row[k].ljust(widths[k]) for k in columns
        ]
        return "  ".join(cells).rstrip()

    return [line(row) for row in rows]


def add_scene_and_out(parser: argparse.ArgumentParser, metavar: str, help: str) -> None:
    """The scene that a command reads, and what it writes."""
    parser.add_argument("scene", metavar="SCENE", help="folder, scene.json or .glb")
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar=metavar,
        help=help,
    )


def add_result_flags(parser: argparse.ArgumentParser) -> None:
    """What every command has that writes files and prints what it wrote."""
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--json", action="store_true", help="print one JSON summary instead")


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 object", "3 objects"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def refuse_file_name(out: str) -> None:
    """InputError for results that would lie in a folder with the name of a file."""
    name, _, suffix = out.rpartition(".")
    if name and suffix.lower() in (*MESH_FORMATS, "gltf"):
        raise InputError(
            f"-o {out} names a file, and a scene is a folder: give -o {name}, and find scene.glb "
            f"in it (`maquette export {name} -o {out}` makes other files)"
        )


def sizes_in(words: Sequence[str]) -> tuple[tuple[str, ...], float | None]:
    """What ``--size`` says: of objects, as words NAME=LENGTH, and of the whole scene in a file's
    unit, the last one. Raises InputError.
    """
    named = tuple(word for word in words if "=" in word)
    lengths = [word for word in words if "=" not in word]
    try:
        return named, float(lengths[-1]) if lengths else None
    except ValueError:
        expected = "LABEL=LENGTH such as chair=0.9m, or the longest side of the scene as a number"
        raise InputError(f"--size {lengths[-1]}: expected {expected}") from None


def bar_of(
    total: float,
    form: str,
    args: argparse.Namespace,
) -> tqdm:
    """A progress bar on stderr, where that is a terminal and nothing else is asked for."""
    from tqdm import tqdm

    disable = args.quiet or args.json or not sys.stderr.isatty()
    return tqdm(
        total=total,
        bar_format=form,
        disable=disable,
        file=sys.stderr,
        leave=False,
        dynamic_ncols=True,
    )


@contextlib.contextmanager
def stage_bar(args: argparse.Namespace) -> Iterator[Callable[[str, float], None]]:
    """A bar of one piece of work; what it yields is told the stage and its share done."""
    with bar_of(1.0, "{desc:<10}{percentage:3.0f}%|{bar:24}| {elapsed}", args) as bar:

        def show(stage: str, share: float) -> None:
            bar.set_description_str(stage, refresh=False)
            bar.n = share
            bar.refresh()

        yield show
