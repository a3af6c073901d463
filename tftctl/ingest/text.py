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
from tftctl.ingest.columns import is_bar_column

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


def parse_text(name: str, text: str, places: Sequence[str] = ()) -> RawTable:
    """Read delimited text: comment lines on top, any of four delimiters, with or without a header.

    `places`: the names of the first columns where there is no header, for a table that does not hold bars.
    """
    lines = [(number, line) for number, line in enumerate(re.split("\r\n|\n|\r", text), 1) if line.strip()]
    if not lines:
        raise DataError(f"{name} is empty", "nothing to import")
    delimiter = _delimiter(name, [line for _, line in lines[:_LOOK]])
    start = _first_row(lines, delimiter)
    head = _fields(lines[start][1], delimiter)
    if _is_header(head):
        columns, body = _unique([field.strip() for field in head]), lines[start + 1 :]
        if not body:
            raise DataError(f"{name} has a header and no rows", "nothing to import")
        if (stacked := _stacked(name, body, columns, delimiter)) is not None:
            return RawTable(name, stacked, note=_NOTE_YFINANCE if "Adj Close" not in columns else None)
        return RawTable(name, _frame(body, columns, delimiter))
    body = lines[start:]
    if (names := _header_above(name, lines[:start], len(head), delimiter)) is not None:
        return RawTable(name, _frame(body, _unique(names), delimiter))
    lean = all(_LEAN.fullmatch(line.rstrip()) for _, line in body[:_LOOK])
    note = _NOTE_LEAN if lean else None
    columns = _named_by_place(name, head, places) if places else _bars_by_place(name, head)
    return RawTable(name, _frame(body, columns, delimiter), lean, note=note)


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


def _header_above(name: str, above: Sequence[Line], width: int, delimiter: str) -> list[str] | None:
    """A header that ends in delimiters which the rows have not. Raises DataError for one of another width."""
    for number, line in above:
        names = [field.strip() for field in _fields(line.rstrip(delimiter + " "), delimiter)]
        if _names_bars(names) and len(names) == width:
            return names
        if _names_bars(names):
            raise DataError(
                f"{name}: its header (line {number}) has {len(names)} names, its rows have {width} fields",
                "mend the header, or the decimal commas in the rows",
            )
    return None


def _delimiter(name: str, lines: Sequence[str]) -> str:
    """The one that shows a header of bars, else the one that cuts most lines into as many fields as possible."""
    shown = [mark for mark in _DELIMITERS if any(_names_bars(_fields(line, mark)) for line in lines)]
    best = max(shown or _DELIMITERS, key=lambda mark: _agreement(lines, mark))
    if _agreement(lines, best)[0] < 2:
        raise DataError(
            f"{name}: no delimiter found in {lines[-1][:60]!r}", "use commas, semicolons, tabs or vertical bars"
        )
    return best


def _agreement(lines: Sequence[str], mark: str) -> tuple[int, int]:
    fields, count = Counter(len(_fields(line, mark)) for line in lines).most_common(1)[0]
    return fields, count


def _first_row(lines: Sequence[Line], delimiter: str) -> int:
    """The first line with as many fields as most: what stands above are comments."""
    sample = [len(_fields(line, delimiter)) for _, line in lines[:_LOOK]]
    usual = Counter(sample).most_common(1)[0][0]
    return sample.index(usual)


def _names_bars(fields: Sequence[str]) -> bool:
    return sum(is_bar_column(field) for field in fields) >= 3


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
    """Texts by column; a line with too many fields loses the surplus, one with too few gets blanks: both are marked."""
    if any(line.count('"') % 2 for _, line in body):
        return _line_by_line(body, columns, delimiter)
    source = io.BytesIO("\n".join(line for _, line in body).encode())
    rows = pl.read_csv(
        source,
        has_header=False,
        new_columns=columns,
        separator=delimiter,
        infer_schema=False,
        truncate_ragged_lines=True,
    )
    ragged = [_is_ragged(line, delimiter, len(columns)) for _, line in body]
    return rows.with_columns(pl.Series(LINE, [number for number, _ in body], dtype=pl.Int64), pl.Series(RAGGED, ragged))


def _line_by_line(body: Sequence[Line], columns: list[str], delimiter: str) -> pl.DataFrame:
    """As above where a quotation mark is left open: it must not swallow the lines after its own."""
    width = len(columns)
    rows = [_fields(line, delimiter) for _, line in body]
    padded = [(*fields[:width], *([""] * (width - len(fields)))) for fields in rows]
    table = pl.DataFrame(padded, schema=dict.fromkeys(columns, pl.String), orient="row")
    return table.with_columns(
        pl.Series(LINE, [number for number, _ in body], dtype=pl.Int64),
        pl.Series(RAGGED, [line.count('"') % 2 == 1 or len(row) != width
                           for (_, line), row in zip(body, rows, strict=True)]),
    )  # fmt: skip


def _is_ragged(line: str, delimiter: str, expected: int) -> bool:
    """Another number of fields than expected; one delimiter too many at the end is a habit of some vendors."""
    count = len(_fields(line, delimiter)) if '"' in line else line.count(delimiter) + 1
    return count != expected and not (count == expected + 1 and line.rstrip("\r").endswith(delimiter))


def _unique(names: list[str]) -> list[str]:
    """The second column of a name becomes `name (2)`."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return made
