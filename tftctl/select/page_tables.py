"""Tables of the page of a selection, as HTML; nothing of the data stands in it unescaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from tftctl.core.periods import sort_periods
from tftctl.select.page_words import DASH, MINUS, count_of, moment, number, percent, points, probability

if TYPE_CHECKING:
    from tftctl.select.page import Findings

Document = Mapping[str, Any]

FOLDED_AFTER = 30


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column, and the text of its cell in a row; `bar` gives the share of a bar behind a number."""

    head: str
    text: Callable[[Document], str]
    numeric: bool = True
    bar: Callable[[Document], float | None] | None = None


def table(columns: Sequence[Column], rows: Sequence[Document], fold_after: int = FOLDED_AFTER) -> str:
    """A table; what is beyond `fold_after` rows folds away."""
    if not rows:
        return ""
    shown, hidden = rows[:fold_after], rows[fold_after:]
    if not hidden:
        return _table(columns, shown)
    more = f"<details><summary>{count_of(len(hidden), 'more row')}</summary>{_table(columns, hidden)}</details>"
    return _table(columns, shown) + more


def folded(summary: str, inside: str) -> str:
    """HTML behind a line that opens it; nothing of nothing."""
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>" if inside else ""


def _table(columns: Sequence[Column], rows: Iterable[Document]) -> str:
    head = "".join(f"<th{_kind(column)}>{escape(column.head)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cell(column, row) for column in columns)}</tr>\n" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _kind(column: Column) -> str:
    return ' class="n"' if column.numeric else ""


def _cell(column: Column, row: Document) -> str:
    share = column.bar(row) if column.bar else None
    style = f' style="--share:{100 * min(max(share, 0.0), 1.0):.0f}%"' if share is not None else ""
    kind = "n bar" if style else "n" if column.numeric else "t"
    return f'<td class="{kind}"{style}>{escape(column.text(row))}</td>'


def _plain(key: str) -> Callable[[Document], str]:
    return lambda row: DASH if row.get(key) is None else str(row[key])


def _whole(key: str) -> Callable[[Document], str]:
    return lambda row: DASH if row.get(key) is None else f"{number(row[key]):,}"


def _decimal(key: str, places: int = 3) -> Callable[[Document], str]:
    return lambda row: DASH if row.get(key) is None else f"{row[key]:.{places}f}".replace("-", MINUS)


def _share(key: str) -> Callable[[Document], str]:
    return lambda row: percent(row.get(key))


def _p(key: str) -> Callable[[Document], str]:
    return lambda row: probability(row.get(key))


def _best(row: Document) -> str:
    cluster = ", with its cluster" if row.get("cluster_of") else ""
    return f"{row['best']}{cluster}" if row.get("best") else DASH


def _features(largest: float) -> list[Column]:
    """`largest` is the score with a full bar."""
    return [
        Column("rank", _plain("rank")),
        Column("feature", lambda row: str(row["feature"]), numeric=False),
        Column("why", _plain("why"), numeric=False),
        Column(
            "score", _decimal("score"), bar=lambda row: None if row.get("score") is None else row["score"] / largest
        ),
        Column("trees", _decimal("trees")),
        Column("gate", _decimal("gate")),
        Column("p", _p("p")),
        Column("above in cells", _plain("above")),
        Column("best cell", _best, numeric=False),
    ]


def _largest(findings: Findings) -> float:
    return max([score for score in findings.core["score"].to_list() if score], default=1.0)


def selected_table(findings: Findings) -> str:
    """The features that were selected, by their rank."""
    wanted = set(findings.document.get("selected") or [])
    rows = [row for row in findings.core.iter_rows(named=True) if row["feature"] in wanted]
    missing = wanted - {row["feature"] for row in rows}
    return table(_features(_largest(findings)), [*rows, *({"feature": name} for name in sorted(missing))])


def left_out_table(findings: Findings) -> str:
    """All other features of the pool; one that the core has and the selection has not was dropped by the search."""
    wanted = set(findings.document.get("selected") or [])
    rows = [
        row | ({"why": "dropped by the search"} if row["selected"] else {})
        for row in findings.core.iter_rows(named=True)
        if row["feature"] not in wanted
    ]
    reasons: dict[str, int] = {}
    for row in rows:
        reasons[row["why"]] = reasons.get(row["why"], 0) + 1
    summary = ", ".join(f"{why}: {count:,}" for why, count in sorted(reasons.items(), key=lambda item: -item[1]))
    return folded(
        f"{count_of(len(rows), 'feature')} left out ({summary})", table(_features(_largest(findings)), rows, len(rows))
    )


def cells_table(document: Document) -> str:
    """What each target at each period is judged by."""
    columns = [
        Column("target", _plain("target"), numeric=False),
        Column("period", _plain("period"), numeric=False),
        Column("skill", _share("skill")),
        Column("threshold, z", _decimal("threshold_z", 2)),
        Column("features above", _whole("above")),
        Column("labelled rows", _whole("rows")),
        Column("folds", _whole("folds")),
        Column("training rows read", _read("train_rows")),
        Column("test rows read", _read("test_rows")),
    ]
    return table(columns, document["evidence"])


def _read(key: str) -> Callable[[Document], str]:
    return lambda row: f"{number(row[f'{key}_read']):,} of {number(row[key]):,}"


def unfit_table(document: Document) -> str:
    """Cells that were not judged."""
    parts = {"evidence": document, "search": document.get("optimize"), "walk-forward": document.get("rolling")}
    rows = [{**row, "stage": stage} for stage, part in parts.items() for row in (part or {}).get("unfit") or []]
    columns = [Column(name, _plain(name), numeric=False) for name in ("stage", "target", "period", "why")]
    return table(columns, rows)


def absent_table(document: Document) -> str:
    """Features that have no values at a period."""
    rows = [
        {"period": period, "number": len(names), "features": ", ".join(names)}
        for period, names in (document.get("absent") or {}).items()
        if names
    ]
    columns = [Column("period", _plain("period"), numeric=False), Column("number", _whole("number")),
               Column("features without values", _plain("features"), numeric=False)]  # fmt: skip
    total = sum(row["number"] for row in rows)
    return folded(f"{count_of(total, 'feature')} without values at a period", table(columns, rows))


def stages_table(document: Document) -> str:
    """What was done, and how long it took."""
    rows = list(document.get("stages") or [])
    columns = [
        Column("stage", _plain("name"), numeric=False),
        Column("seconds", _decimal("seconds", 1)),
        Column("", lambda row: "was fresh, not done again" if row.get("fresh") else "done", numeric=False),
        Column("note", lambda row: str(row.get("note") or ""), numeric=False),
    ]
    return table(columns, rows)


def folds_table(rolling: Document) -> str:
    """Skill per walk-forward fold."""
    rows = [{**fold, **{f"skill_{key}": value for key, value in fold["skill"].items()}} for fold in rolling["folds"]]
    columns = [
        Column("test rows from", lambda row: moment(row["first"]), numeric=False),
        Column("to", lambda row: moment(row["last"]), numeric=False),
        Column("features", lambda row: f"{len(row['selected']):,}"),
        Column("skill", _share("skill_selected")),
        Column("all features", _share("skill_all")),
        Column("random sets", _share("skill_random")),
        Column("from", _share("skill_random_low")),
        Column("to", _share("skill_random_high")),
        Column("the fold before's", _share("skill_last_selection")),
    ]
    return table(columns, rows)


def deflated_table(rolling: Document) -> str:
    """What remains of the gain per target."""
    found = (rolling.get("deflated") or {}).get("per_target") or {}
    rows = [{"target": target, **entry} for target, entry in found.items()]
    columns = [
        Column("target", _plain("target"), numeric=False),
        Column("trials", _whole("trials")),
        Column("remaining gain, points", lambda row: points(row.get("gain"))),
        Column("p", _p("p")),
    ]
    return table(columns, rows)


def agreement_table(core: Document) -> str:
    """Whether trees and gates agree."""
    found = core.get("agreement") or {}
    periods = [*(["all"] if "all" in found else []), *sort_periods([period for period in found if period != "all"])]
    rows = [{"period": period, **found[period]} for period in periods]
    columns = [
        Column("period", _plain("period"), numeric=False),
        Column("features both know", _whole("features")),
        Column("Spearman", _decimal("spearman", 2)),
        Column("best compared", _whole("top")),
        Column("in common", lambda row: percent(row.get("overlap"), signed=False, places=0)),
    ]
    return table(columns, rows)
