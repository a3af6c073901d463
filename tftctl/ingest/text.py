"""From delimited text to a table of texts with line numbers."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tftctl.core.errors import DataError
from tftctl.ingest.columns import is_bar_column, is_known_column

LINE = "__line"
RAGGED = "__ragged"
Line = tuple[int, str]

_DELIMITERS = (",", ";", "\t", "|")
_BINANCE = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_PLAIN = ("timestamp", "open", "high", "low", "close", "volume")
_METATRADER = ("date", "time", "open", "high", "low", "close", "volume")
_LEAN = re.compile(r"\d{8} \d\d:\d\d(,\d+){4},[\d.]+")
_LOOK = 50
_DEEPEST_HEADER = 1000
_NOTE_LEAN = "read as QuantConnect's format: New York times, prices in ten-thousandths"
_NOTE_YFINANCE = (
    "prices taken as raw, but yfinance writes them adjusted for splits and dividends where there is no Adj Close: "
    "--basis total"
)


@dataclass(frozen=True, slots=True)
class RawTable:
    """One table of a file.

    `rows` has the columns of the file; `__line`, the line or row it stands in (from 1); and `__ragged`, whether it has
    another number of fields than the header. Texts stay texts; Parquet and pickle keep their types. `lean` marks
    QuantConnect's format: New York local times, prices in ten-thousandths. `member`: its name within a zip of several,
    `error`: why such a member is no table. `note`: how the table was understood, where that may be wrong.
    """

    name: str
    rows: pl.DataFrame
    lean: bool = False
    member: str | None = None
    error: DataError | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class TextLayout:
    """Delimiter, number of the first line of data (from 1), names of the columns; `lean` as in `RawTable`."""

    delimiter: str
    first_line: int
    columns: tuple[str, ...]
    lean: bool


def parse_text(name: str, text: str, places: Sequence[str] = ()) -> RawTable:
    """Read delimited text: comment lines on top, any of four delimiters, with or without a header.

    `places`: the names of the first columns where there is no header, for a table that does not hold bars.
    """
    lines = _numbered_lines(text)
    if not lines:
        raise DataError(f"{name} is empty", "nothing to import")
    delimiter, start, names, headed = _locate(name, lines)
    if not headed:
        return _headless(name, lines[start:], names, delimiter, places)
    columns, body = _unique(names), lines[start + 1 :]
    if not body:
        raise DataError(f"{name} has a header and no rows", "nothing to import")
    if (stacked := _stacked(name, body, columns, delimiter)) is not None:
        return RawTable(name, stacked, note=_NOTE_YFINANCE if "Adj Close" not in columns else None)
    return RawTable(name, _frame(body, columns, delimiter))


def layout_of(name: str, head: str) -> TextLayout:
    """How a text is laid out, from its first lines; blank lines count. Raises DataError as `parse_text` does."""
    lines = _numbered_lines(head)
    if not lines:
        raise DataError(f"{name} is empty", "nothing to read")
    delimiter, start, names, headed = _locate(name, lines)
    body = lines[start + headed :]
    if not body:
        raise DataError(f"{name} has a header and no rows", "nothing to read")
    lean = not headed and _is_lean(body)
    return TextLayout(delimiter, body[0][0], tuple(_unique(names) if headed else _bars_by_place(name, names)), lean)


def _numbered_lines(text: str) -> list[Line]:
    return [(number, line) for number, line in enumerate(re.split("\r\n|\n|\r", text), 1) if line.strip()]


def _locate(name: str, lines: Sequence[Line]) -> tuple[str, int, list[str], bool]:
    """Delimiter, place of the header or of the first row, its fields, and whether they are names."""
    if (found := _bars_header(name, lines)) is not None:
        return *found, True
    delimiter = _delimiter(name, [line for _, line in lines[-_LOOK:]])
    start = _first_row(lines, delimiter)
    names = [field.strip() for field in _fields(lines[start][1], delimiter)]
    return delimiter, start, names, _is_header(names)


def _is_lean(body: Sequence[Line]) -> bool:
    return all(_LEAN.fullmatch(line.rstrip()) for _, line in body[:_LOOK])


def _headless(name: str, body: Sequence[Line], first: Sequence[str], delimiter: str, places: Sequence[str]) -> RawTable:
    lean = _is_lean(body)
    columns = _named_by_place(name, first, places) if places else _bars_by_place(name, first)
    return RawTable(name, _frame(body, columns, delimiter), lean, note=_NOTE_LEAN if lean else None)


def _named_by_place(name: str, fields: Sequence[str], places: Sequence[str]) -> list[str]:
    if len(fields) < len(places):
        raise DataError(f"{name} has no header and {len(fields)} columns", f"a line is: {', '.join(places)}")
    return [*places, *(f"column_{number}" for number in range(len(places) + 1, len(fields) + 1))]


def _bars_by_place(name: str, fields: Sequence[str]) -> list[str]:
    """Names for the columns of bars without a header. Raises DataError for a width that nobody agreed on."""
    if len(fields) == len(_BINANCE):
        return list(_BINANCE)
    if len(fields) == len(_PLAIN):
        return list(_PLAIN)
    if len(fields) == len(_METATRADER) and re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", fields[1].strip()):
        return list(_METATRADER)
    hint = "give it a header: timestamp,open,high,low,close,volume"
    if len(fields) == 4 and re.fullmatch(r"\d{8}", fields[0].strip()):
        hint = "are these split and dividend factors? --as factors"
    raise DataError(f"{name} has no header and {len(fields)} columns", hint)


def _bars_header(name: str, lines: Sequence[Line]) -> tuple[str, int, list[str]] | None:
    """Delimiter, place and names of the line that names the columns of bars; None where there is none.

    Delimiters at its end that the rows have not are a habit of some vendors. Raises DataError where the rows have
    another width: which field is which, nobody can say.
    """
    hits = [(mark, place, fields) for place, (_, line) in enumerate(lines[:_DEEPEST_HEADER]) for mark in _DELIMITERS
            if _names_bars(fields := [field.strip() for field in _fields(line, mark)])]  # fmt: skip
    for mark, place, fields in sorted(hits, key=lambda hit: -sum(map(is_known_column, hit[2]))):
        below = [line for _, line in lines[place + 1 : place + 1 + _LOOK]]
        width = _agreement(below, mark)[0] if below else len(fields)
        if width <= len(fields) and not any(fields[width:]):
            return mark, place, fields[:width]
    if not hits:
        return None
    mark, place, fields = hits[0]
    width = _agreement([line for _, line in lines[place + 1 :][:_LOOK]], mark)[0]
    raise DataError(
        f"{name}: its header (line {lines[place][0]}) has {len(fields)} names, its rows have {width} fields",
        "mend the header, or the decimal commas in the rows",
    )


def _delimiter(name: str, lines: Sequence[str]) -> str:
    """The delimiter that cuts most lines into the same, largest number of fields."""
    best = max(_DELIMITERS, key=lambda mark: _agreement(lines, mark))
    if _agreement(lines, best)[0] < 2:
        raise DataError(
            f"{name}: no delimiter found in {lines[-1][:60]!r}", "use commas, semicolons, tabs or vertical bars"
        )
    return best


def _agreement(lines: Sequence[str], mark: str) -> tuple[int, int]:
    fields, count = Counter(len(_fields(line, mark)) for line in lines).most_common(1)[0]
    return fields, count


def _first_row(lines: Sequence[Line], delimiter: str) -> int:
    """The first line with as many fields as most at the end: what stands above are comments."""
    usual = _agreement([line for _, line in lines[-_LOOK:]], delimiter)[0]
    return next(place for place, (_, line) in enumerate(lines) if len(_fields(line, delimiter)) == usual)


def _names_bars(fields: Sequence[str]) -> bool:
    return sum(is_bar_column(field) for field in fields) >= 3 and not any(_numeric(field) for field in fields)


def _is_header(fields: Sequence[str]) -> bool:
    """A header has some letters and no number in it."""
    return not any(_numeric(field) for field in fields) and any(c.isalpha() for field in fields for c in field)


def _numeric(field: str) -> bool:
    try:
        float(field.replace(",", ""))
    except ValueError:
        return False
    return True


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter))


def _stacked(name: str, body: Sequence[Line], columns: list[str], delimiter: str) -> pl.DataFrame | None:
    """The rows of a file of yfinance, which has two more lines of header: tickers and the name of the index."""
    tickers, index = (_fields(line, delimiter) for _, line in (*body[:2], (0, ""), (0, ""))[:2])
    if len(body) < 3 or tickers[0] not in ("Ticker", "") or not index or index[0] not in ("Date", "Datetime") \
            or any(index[1:]):  # fmt: skip
        return None
    symbols = sorted({field for field in tickers[1:] if field})
    if len(symbols) != 1:
        raise DataError(f"{name} holds {len(symbols)} symbols side by side: {', '.join(symbols[:8])}",
                        "write one file for each, or one below the other with a symbol column")  # fmt: skip
    return _frame(body[2:], [index[0], *columns[1:]], delimiter).with_columns(pl.lit(symbols[0]).alias("symbol"))


def _frame(body: Sequence[Line], columns: list[str], delimiter: str) -> pl.DataFrame:
    """Texts by column. A line with too many fields loses the surplus, one with too few gets blanks, one that leaves a
    quotation mark open is read on its own: all of these are marked as ragged.
    """
    whole: list[Line] = []
    ragged: list[Line] = []
    for number, line in body:
        trimmed = _trimmed(line, delimiter, len(columns))
        (ragged if trimmed is None else whole).append((number, line if trimmed is None else trimmed))
    parts = [_whole_lines(whole, columns, delimiter)] if whole else []
    parts += [_ragged_lines(ragged, columns, delimiter)] if ragged else []
    return pl.concat(parts).sort(LINE)


def _trimmed(line: str, delimiter: str, width: int) -> str | None:
    """A line of so many fields, without the one delimiter too many that some vendors end it with; None for others."""
    quotes = line.count('"')
    count = len(_fields(line, delimiter)) if quotes else line.count(delimiter) + 1
    if quotes % 2 == 0 and count == width:
        return line
    return line[:-1] if quotes % 2 == 0 and count == width + 1 and line.endswith(delimiter) else None


def _whole_lines(lines: Sequence[Line], columns: list[str], delimiter: str) -> pl.DataFrame:
    rows = pl.read_csv(
        io.BytesIO("\n".join(line for _, line in lines).encode()),
        has_header=False,
        new_columns=columns,
        separator=delimiter,
        infer_schema=False,
    )
    return _numbered(rows, lines, ragged=False)


def _ragged_lines(lines: Sequence[Line], columns: list[str], delimiter: str) -> pl.DataFrame:
    width = len(columns)
    rows = [_fields(line, delimiter)[:width] for _, line in lines]
    table = pl.DataFrame(
        [[*fields, *([None] * (width - len(fields)))] for fields in rows],
        schema=dict.fromkeys(columns, pl.String),
        orient="row",
    )
    return _numbered(table, lines, ragged=True)


def _numbered(rows: pl.DataFrame, lines: Sequence[Line], *, ragged: bool) -> pl.DataFrame:
    numbers = pl.Series(LINE, [number for number, _ in lines], dtype=pl.Int64)
    return rows.with_columns(numbers, pl.lit(ragged).alias(RAGGED))


def _unique(names: list[str]) -> list[str]:
    """The second column of a name becomes `name (2)`."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return made
