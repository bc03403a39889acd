"""Words and tables that several commands print. No command of its own, nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence


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


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 object", "3 objects"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
