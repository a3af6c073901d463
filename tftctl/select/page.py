"""The report of a selection as one HTML page that needs nothing else: no script, no file, no network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.core.files import replace_text
from tftctl.core.periods import sort_periods
from tftctl.select import page_tables as tables
from tftctl.select.evidence import Evidence
from tftctl.select.gate_scores import GateScores
from tftctl.select.page_style import STYLE
from tftctl.select.page_words import (
    account,
    count_of,
    evident,
    is_skill,
    moment,
    number,
    percent,
    points,
    probability,
)
from tftctl.select.pictures import Picture, draw_pictures, png

Document = Mapping[str, Any]
# figures of importances beyond the first so many are folded away
OPEN_PICTURES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that the page shows: the report's JSON, the evidence, `Core.summary`, per period the names of its columns and
    their |Spearman| (F, F), and the gates where there are any."""

    document: Document
    evidence: Sequence[Evidence]
    core: pl.DataFrame
    strengths: Mapping[str, tuple[tuple[str, ...], npt.NDArray[np.float64]]]
    gates: GateScores | None


def write_page(path: Path, findings: Findings) -> Path:
    """Write the page; it is there whole or not at all. Makes its folder. Raises OSError where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, page(findings))
    return path


def page(findings: Findings, pictures: Sequence[Picture] | None = None) -> str:
    """The page as text; `pictures` are drawn where they are not given."""
    drawn = draw_pictures(findings) if pictures is None else pictures
    by_topic: dict[str, list[Picture]] = {}
    for picture in drawn:
        by_topic.setdefault(picture.topic, []).append(picture)
    sections = "\n".join(part for part in _sections(findings, by_topic) if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Feature selection, snapshot {escape(str(findings.document['snapshot']))}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{_head(findings)}\n{sections}\n</main>\n</body>\n</html>\n"
    )


def _head(findings: Findings) -> str:
    document = findings.document
    facts = (
        ("made", f"{moment(document['made_at'])} UTC by tftctl {document['command']}"),
        ("snapshot", f"{document['snapshot']}, data {document['data']}"),
        ("training cut", f"{moment(document['cut'])} UTC; rows until {moment(document['until'])}"),
        ("targets", ", ".join(document["targets"])),
        ("periods", ", ".join(sort_periods(list(document["periods"])))),
        ("allowlist", document.get("allowlist") or "none written"),
    )
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>" for name, text in facts)
    *sentences, verdict = (escape(sentence) for sentence in account(findings))
    words = f"{' '.join(sentences)} <strong>{verdict}</strong>"
    lead = f'<h1>Feature selection</h1>\n<p class="lead">{words}</p>'
    return f"<header>\n{lead}\n{_tiles(findings)}\n<dl>{lines}</dl>\n</header>"


def _tiles(findings: Findings) -> str:
    document = findings.document
    rolling = document.get("rolling")
    deflated = (rolling or {}).get("deflated") or {}
    skill = is_skill(rolling)
    tiles = [
        (f"{document['pool']:,}", "features in the pool", ""),
        (f"{len(evident(findings)):,}", f"with evidence at {100 * document['core']['level']:g} %", ""),
        (f"{len(document.get('selected') or []):,}", "selected", ""),
    ]
    if deflated:
        tiles += [
            (f"{deflated['trials']:,}", "trials so far", ""),
            (points(deflated["gain"]), f"points of the gain remain, p = {probability(deflated['p'])}",
             "" if skill is None else "good" if skill else "bad"),
        ]  # fmt: skip
    return '<div class="tiles">' + "".join(
        f'<div class="tile {kind}"><b>{escape(value)}</b><span>{escape(text)}</span></div>'
        for value, text, kind in tiles
    ) + "</div>"  # fmt: skip


def _sections(findings: Findings, pictures: Mapping[str, Sequence[Picture]]) -> Iterable[str]:
    document = findings.document
    yield _section("Selected features", "", tables.selected_table(findings) or _nothing(findings))
    yield _importances(pictures.get("importances", ()))
    yield _section("Which features say the same", _CLUSTERS, _figures(pictures.get("clusters", ())))
    yield _stability(document, pictures.get("stability", ()))
    yield _gates(document, pictures.get("gates", ()))
    yield _search(document.get("optimize"), pictures.get("search", ()))
    yield _section("Targets and periods", _CELLS, tables.cells_table(document))
    yield _left_out(findings)
    yield _section("What was done", _seconds(document), tables.stages_table(document))


def _section(title: str, words: str, inside: str) -> str:
    """Nothing where there is nothing inside."""
    if not inside:
        return ""
    text = f"<p>{escape(words)}</p>\n" if words else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{text}{inside}\n</section>"


def _nothing(findings: Findings) -> str:
    why = "no feature has evidence" if not evident(findings) else "all that have evidence are banned or left out"
    return f'<p class="none">Nothing is selected: {why}.</p>'


def _figures(pictures: Sequence[Picture]) -> str:
    return "\n".join(_figure(picture) for picture in pictures)


def _figure(picture: Picture) -> str:
    data = base64.b64encode(png(picture.figure)).decode("ascii")
    canvas: Any = picture.figure.canvas
    wide, high = canvas.get_width_height()
    return (
        f'<figure><img src="data:image/png;base64,{data}" width="{wide}" height="{high}" '
        f'alt="{escape(picture.alt)}"></figure>'
    )


def _importances(pictures: Sequence[Picture]) -> str:
    first, rest = pictures[:OPEN_PICTURES], pictures[OPEN_PICTURES:]
    more = tables.folded(f"{count_of(len(rest), 'more picture')}: {', '.join(p.alt for p in rest)}", _figures(rest))
    return _section("Importances and their intervals", _IMPORTANCES, _figures(first) + more)


def _stability(document: Document, pictures: Sequence[Picture]) -> str:
    rolling: Document | None = document.get("rolling")
    if not rolling:
        return ""
    found = rolling["stability"]
    indices = [f"{name} {found[key]:.2f}" for name, key in (("Kuncheva", "kuncheva"), ("Jaccard", "jaccard"))
               if found.get(key) is not None]  # fmt: skip
    words = _STABILITY + (_WITHOUT_GATES if document.get("gates") else "")
    words += f" Mean over pairs of folds: {', '.join(indices)}." if indices else ""
    deflated = rolling.get("deflated") or {}
    rest = tables.deflated_table(rolling)
    if rest and deflated.get("statistic"):
        rest = f"<h3>What remains of the gain</h3>\n<p>{escape(_sentence(deflated['statistic']))}</p>\n{rest}"
    return _section("Stability", words, _figures(pictures) + tables.folds_table(rolling) + rest)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _gates(document: Document, pictures: Sequence[Picture]) -> str:
    found, core = document.get("gates"), document.get("core") or {}
    if not found or not pictures:
        return ""
    words = (
        f"Gates of {found['run']} ({found['checkpoint']}), the mean over {number(found['origins']):,} forecast origins "
        f"before {moment(found['cut'])}. {_GATES}"
    )
    if found.get("chosen_by_validation"):
        words += " This checkpoint was chosen by its validation score, so that its gates have seen more than the trees."
    if found.get("why"):
        words += f" {_sentence(str(found['why']))}"
    lacking = core.get("without_gate") or []
    without = tables.folded(f"{count_of(len(lacking), 'feature')} without a gate", _list(lacking)) if lacking else ""
    return _section("Trees against gates", words, _figures(pictures) + tables.agreement_table(core) + without)


def _search(found: Document | None, pictures: Sequence[Picture]) -> str:
    if not found:
        return ""
    ended = _ENDED.get(found["stopped_by"], found["stopped_by"])
    words = (
        f"{count_of(found['trials'], 'trial')} in {found['seconds']:.0f} s; {ended}. Best: "
        f"{found['size']:,} of {found['pool']:,} features, skill {percent(found['skill'])} against "
        f"{percent(found['pool_skill'])} of the whole pool, on the rows that the search looked at."
    )
    if nested := found.get("nested"):
        words += f" The rows it never saw run from {moment(nested['first'])} to {moment(nested['last'])}."
    return _section("The search for a smaller set", words, _figures(pictures))


def _left_out(findings: Findings) -> str:
    document = findings.document
    parts = (tables.unfit_table(document), tables.left_out_table(findings), tables.absent_table(document))
    return _section("What was left out, and why", "", "\n".join(part for part in parts if part))


def _list(names: Iterable[str]) -> str:
    return f"<p>{escape(', '.join(names))}</p>"


def _seconds(document: Document) -> str:
    seconds = document.get("seconds")
    return "" if seconds is None else f"{seconds:,.0f} seconds in all."


_ENDED = {
    "trials": "the budget of trials was spent",
    "minutes": "the budget of minutes was spent",
    "patience": "nothing better came any more",
    "exhausted": "there was nothing new to try",
}
_IMPORTANCES = (
    "By how much the loss of a test row grows when a feature takes its values of other times, in percent of the loss "
    "of the best constant forecast. A feature counts in a panel where its point is right of its black mark. Null "
    "probes are real features shifted in time; whatever they reach is luck. Shown are the features that rank highest "
    "at the period."
)
_CLUSTERS = (
    "Framed features are also permuted together, because each of them alone could be replaced by the others. A name is "
    "that of the best of a cluster, and how many more it has."
)
_STABILITY = (
    "The whole selection is made again on the training part of each fold and judged on the rows after it: skill is the "
    "share of the loss of the best constant forecast that is saved, gains are differences of it, with 95 % intervals."
)
_WITHOUT_GATES = " Gates play no part in it: the network would have to be trained anew for every fold."
_GATES = "Both scores are ranks, 1 the best and 0 the worst; the axes of all panels are the same."
_CELLS = (
    "Skill is the share of the loss of the best constant forecast that the trees save on test folds; at or below "
    "nought there is nothing to be important for. A feature is above where its importance exceeds the threshold times "
    "its standard error. Rows are counted over all folds."
)
