"""A table on stdout: tab-separated in a pipe, fitted to the width of a terminal.

A terminal that is too narrow folds long cells. Where even that does not do, rows and columns change places, and where
there are too many rows for that, each row is a block of lines: nothing is cut off.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Lines = list[str]

FEW_ROWS = 6
# words may be this long before they are broken to keep a table a table: the second number is tried last
_LONGEST_WORDS = (24, 12)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::00(?:\.0+)?)?Z")
_NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?(e[+-]?\d+)?|-?inf|nan")
_LONG_DECIMAL = re.compile(r"-?\d+\.\d{5,}(e[+-]?\d+)?")
# where a long cell breaks first: after a blank or a mark, never within a number or a date
_BREAK = re.compile(r"(?<=[\s/_=;])(?=\S)|(?<=[.,-])(?=[^\W\d])")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """Print a table on stdout; plain tab-separated text when stdout is not a terminal."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            # one line per row, whatever the cells hold
            sys.stdout.write("\t".join(" ".join(plain(value).split()) for value in row) + "\n")
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if title:
        console.print(title, style="italic", soft_wrap=True)
    _print_fitted(console, columns, rows)


def plain(value: Any) -> str:
    """A cell for other programs: every digit, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return str(value)


def cell(value: Any) -> str:
    """A cell for people: numbers short, times to the minute."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float) or (isinstance(value, str) and _LONG_DECIMAL.fullmatch(value)):
        return _short(float(value))
    return _TIME.sub(r"\1 \2", plain(value))


def _short(value: float) -> str:
    if 1e3 <= abs(value) < 1e15:
        return f"{value:,.2f}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if 1 <= abs(value) < 1e3 else f"{value:.4g}"


def _print_fitted(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """The first layout that fits: a table, one with folded cells, rows as columns, a block of lines per row."""
    body = [[cell(value) for value in row] for row in rows]
    turned = [list(texts) for texts in zip(columns, *body, strict=True)]
    whole, split = [[name] for name in columns], [name.split("_") for name in columns]
    for heads, gap in ((whole, 2), (whole, 1), (split, 1)):
        if _natural(heads, body, gap) <= console.width:
            return _print(console, heads, body, gap)
    for longest in _LONGEST_WORDS:
        if _least(split, body, 1, longest) <= console.width:
            return _print(console, split, body, 1, longest)
    for longest in _LONGEST_WORDS if len(rows) <= FEW_ROWS else ():
        if _least([], turned, 1, longest) <= console.width:
            return _print(console, [], turned, 1, longest)
    for number, texts in enumerate(body):
        console.print(end="\n" if number else "")
        _print(console, [], [list(pair) for pair in zip(columns, texts, strict=True)], 2)


def _print(
    console: Console, heads: Sequence[Lines], body: Sequence[Lines], gap: int, longest: int = _LONGEST_WORDS[0]
) -> None:
    from rich.table import Table
    from rich.text import Text

    widths = _widths(heads, body, gap, longest, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), show_header=bool(heads))
    for place, size in enumerate(widths):
        right = bool(heads) and _is_number([row[place] for row in body])
        head = Text("\n".join(heads[place]), style="bold") if heads else ""
        table.add_column(head, width=size, justify="right" if right else "left", overflow="fold")
    for row in body:
        table.add_row(*(Text(_fold(text, size)) for text, size in zip(row, widths, strict=True)))
    console.print(table)


def _is_number(texts: Sequence[str]) -> bool:
    given = [text for text in texts if text]
    return bool(given) and all(_NUMBER.fullmatch(text) for text in given)


def _sizes(heads: Sequence[Lines], body: Sequence[Lines], longest: int) -> list[tuple[int, int]]:
    """Least and natural width of every column."""
    columns = list(zip(*body, strict=True)) or [()] * len(heads)
    sizes = []
    for place, texts in enumerate(columns):
        head = max((_length(line) for line in heads[place]), default=1) if heads else 1
        natural = max([head, *(_length(line) for text in texts for line in text.split("\n"))])
        word = max([head, *(_least_length(word.rstrip(), longest) for text in texts for word in _BREAK.split(text))])
        sizes.append((word, natural))
    return sizes


def _least_length(word: str, longest: int) -> int:
    """A number is never broken."""
    return _length(word) if _NUMBER.fullmatch(word) else min(_length(word), longest)


def _natural(heads: Sequence[Lines], body: Sequence[Lines], gap: int) -> int:
    sizes = _sizes(heads, body, 1)
    return sum(natural for _, natural in sizes) + gap * (len(sizes) - 1)


def _least(heads: Sequence[Lines], body: Sequence[Lines], gap: int, longest: int = _LONGEST_WORDS[0]) -> int:
    sizes = _sizes(heads, body, longest)
    return sum(least for least, _ in sizes) + gap * (len(sizes) - 1)


def _widths(heads: Sequence[Lines], body: Sequence[Lines], gap: int, longest: int, width: int) -> list[int]:
    """Natural widths; the widest gives way first, down to its longest word."""
    sizes = _sizes(heads, body, longest)
    widths = [natural for _, natural in sizes]
    spare = width - gap * (len(sizes) - 1)
    while sum(widths) > spare:
        wide = [place for place, (least, _) in enumerate(sizes) if widths[place] > least]
        if not wide:
            break
        widths[max(wide, key=lambda place: widths[place])] -= 1
    return widths


def _fold(text: str, width: int) -> str:
    """Lines of at most `width`, broken after a blank or a mark where there is one."""
    lines = [""]
    for word in _BREAK.split(text):
        if lines[-1] and _length(lines[-1] + word.rstrip()) > width:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def _length(text: str) -> int:
    """Columns on the screen: a Chinese character takes two."""
    from rich.cells import cell_len

    return cell_len(text)
