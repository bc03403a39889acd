"""Tables for people as plain data, and the three forms in which they are printed: Markdown, HTML,
and text in columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """One entry."""

    text: str
    spread: str = ""  # half the width of the 95 % interval, as text
    best: bool = False
    worth: str = ""  # of a difference: "better", "worse" or "" when its interval holds zero


@dataclass(frozen=True)
class Table:
    """A table for people."""

    title: str
    note: str
    head: tuple[str, ...]
    body: tuple[tuple[Cell, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()  # (name, number of rows), in order; none = one group

    @property
    def group_names(self) -> list[str]:
        """The group of every row; empty texts when there are none."""
        names = [name for name, count in self.groups for _ in range(count)]
        return names or [""] * len(self.body)


def unusable_table(reasons: Mapping[str, str]) -> Table:
    """Every scene that could not be used, with the reason."""
    return reasons_table("Not used", "scenes that could not be used, and why", reasons)


def reasons_table(title: str, note: str, reasons: Mapping[str, str]) -> Table:
    """Scenes, each with a reason."""
    body = tuple((Cell(name), Cell(reason)) for name, reason in reasons.items())
    return Table(title, note, ("scene", "reason"), body)


def markdown(table: Table) -> str:
    """A Markdown table; with groups, their name is the first column."""
    lines = [[_plain(cell) for cell in line] for line in table.body]
    head = list(table.head)
    if table.groups:
        head = ["set", *head]
        lines = [[name, *line] for name, line in zip(table.group_names, lines)]
    ruled = [f"| {' | '.join(line)} |" for line in (head, *lines)]
    rule = "|---" * len(head) + "|"
    return "\n".join([f"### {table.title}", "", table.note, "", ruled[0], rule, *ruled[1:]])


def _plain(cell: Cell) -> str:
    """A cell in Markdown."""
    text = cell.text.replace("|", "\\|")
    text = f"**{text}**" if cell.best else text
    spread = f" ± {cell.spread}" if cell.spread else ""
    return text + spread + (f" ({cell.worth})" if cell.worth else "")


def html(table: Table) -> str:
    """A <figure>; groups have a line of their own, oracles the class "oracle"."""
    head = [f'<th scope="col">{escape(text)}</th>' for text in table.head]
    head[0] = head[0].replace(">", ' class="name">', 1)
    lines = []
    before = ""
    for group, line in zip(table.group_names, table.body):
        if group != before and len(table.groups) > 1:
            span = f'colspan="{len(table.head)}" scope="rowgroup"'
            lines.append(f'<tr class="group"><th {span}>{escape(group)}</th></tr>')
        before = group
        name = _html_cell(line[0], 'th scope="row"', "name")
        cells = "".join(_html_cell(cell, "td", "") for cell in line[1:])
        oracle = ' class="oracle"' if "(oracle)" in line[0].text else ""
        lines.append(f"<tr{oracle}>{name}{cells}</tr>")
    title = f"<h3>{escape(table.title)}</h3><p>{escape(table.note)}</p>"
    rows = f"<thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return (
        f'<figure class="table"><figcaption>{title}</figcaption>'
        f'<div class="wide"><table>{rows}</table></div></figure>'
    )


def _html_cell(cell: Cell, tag: str, name: str) -> str:
    """A cell as a td or th."""
    spread = f'<span class="spread">±{escape(cell.spread)}</span>' if cell.spread else ""
    classes = " ".join(filter(None, (name, "best" if cell.best else "", cell.worth)))
    return f'<{tag} class="{classes}">{escape(cell.text)}{spread}</{tag.split()[0]}>'


def text_columns(lines: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Lines of texts in columns, the first on the left, the others on the right of theirs."""
    printed = []
    for first, *others in lines:
        right = [f"{text:>{width}}" for text, width in zip(others, widths[1:])]
        printed.append("".join([f"{first:{widths[0]}}", *right]).rstrip())
    return printed
