"""The page of a selection, read back as HTML: numbers where they belong, nothing unescaped, nothing from outside."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selection_page_world import make_findings

from tftctl.select.page import Findings, page, write_page
from tftctl.select.page_words import account, moment, percent, points, probability, remains
from tftctl.select.pictures import draw_pictures

VOID = {"meta", "img", "br", "link", "input", "hr"}
CHECKED = ("src", "href", "data", "action", "srcset", "poster")


class Reader(HTMLParser):
    """Sections with their tables and texts; fails where elements are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.outside: list[str] = []
        self.sections: dict[str, list[list[str]]] = {}
        self.words: dict[str, str] = {"": ""}
        self.section = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.outside += [str(value) for key, value in attrs if key in CHECKED and not str(value).startswith("data:")]
        assert not [key for key, _ in attrs if key.startswith("on")]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "section":
            self.section = ""
        if tag == "tr":
            self.sections.setdefault(self.section, []).append([])
        if tag in {"td", "th"}:
            self.sections[self.section][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.section = data
            self.words[data] = ""
        elif self.open and self.open[-1] in {"td", "th"}:
            self.sections[self.section][-1][-1] += data
        elif "style" not in self.open:
            self.words[self.section] = self.words.get(self.section, "") + data

    def rows(self, section: str) -> list[dict[str, str]]:
        """Rows of the section's tables by the heads of their columns."""
        found: list[dict[str, str]] = []
        head: list[str] = []
        heads = {"rank", "target", "stage", "period", "test rows from"}
        for row in self.sections.get(section, []):
            if row and row[0] in heads:
                head = row
            else:
                found.append(dict(zip(head, row, strict=True)))
        return found


@pytest.fixture(scope="module")
def findings() -> Findings:
    return make_findings()


@pytest.fixture(scope="module")
def read(findings: Findings) -> Reader:
    return Reader(page(findings))


def without_pictures(findings: Findings) -> Reader:
    return Reader(page(findings, []))


def changed(findings: Findings, **values: Any) -> Findings:
    return replace(findings, document={**findings.document, **values})


def test_every_selected_feature_stands_there_with_its_numbers(findings: Findings, read: Reader) -> None:
    rows = {row["feature"]: row for row in read.rows("Selected features")}
    assert list(rows) == [name for name in findings.core["feature"].to_list() if name in findings.document["selected"]]
    for row in findings.core.iter_rows(named=True):
        if row["feature"] not in rows:
            continue
        shown = rows[row["feature"]]
        assert shown["rank"] == str(row["rank"])
        assert (shown["score"], shown["trees"]) == (f"{row['score']:.3f}", f"{row['trees']:.3f}")
        assert shown["gate"] == ("\N{EN DASH}" if row["gate"] is None else f"{row['gate']:.3f}")
        assert shown["above in cells"] == str(row["above"])
        assert shown["best cell"].startswith(row["best"])
        assert ("with its cluster" in shown["best cell"]) == row["cluster_of"]
        assert shown["p"] == "<0.001"


def test_the_rest_of_the_pool_is_left_out_for_a_reason(findings: Findings, read: Reader) -> None:
    rows = [row for row in read.rows("What was left out, and why") if "feature" in row]
    selected = set(findings.document["selected"])
    assert {row["feature"] for row in rows} == set(findings.core["feature"].to_list()) - selected
    dropped = set(findings.document["core"]["selected"]) - selected
    assert dropped
    assert {row["feature"] for row in rows if row["why"] == "dropped by the search"} == dropped
    assert "never_there" in str(read.sections["What was left out, and why"])
    unfit = [row for row in read.rows("What was left out, and why") if row.get("target") == "target_rare"]
    assert [row["why"] for row in unfit] == ["a purged fold needs 250 rows"]


def test_cells_say_their_skill_and_the_rows_that_were_read(findings: Findings, read: Reader) -> None:
    rows = read.rows("Targets and periods")
    assert [(row["target"], row["period"]) for row in rows] == [
        (cell["target"], cell["period"]) for cell in findings.document["evidence"]
    ]
    assert [row["skill"] for row in rows] == ["+3.10 %", "+1.10 %", "\N{MINUS SIGN}0.90 %", "\N{MINUS SIGN}2.90 %"]
    assert {row["training rows read"] for row in rows} == {"12,345 of 45,678"}
    assert {row["test rows read"] for row in rows} == {"1,000 of 3,000"}
    assert {row["threshold, z"] for row in rows} == {"3.00"}


def test_images_are_whole_pngs_of_the_pictures_in_their_order(findings: Findings, read: Reader) -> None:
    pictures = draw_pictures(findings)
    assert [image["alt"] for image in read.images] == [picture.alt for picture in pictures]
    for image, picture in zip(read.images, pictures, strict=True):
        kind, data = str(image["src"]).split(",", 1)
        assert kind == "data:image/png;base64"
        opened = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        opened.load()
        assert opened.format == "PNG"
        assert opened.size == (int(str(image["width"])), int(str(image["height"])))
        assert opened.size == picture.figure.canvas.get_width_height()


def test_the_page_needs_nothing_from_outside(findings: Findings, read: Reader) -> None:
    assert read.outside == []
    assert not read.seen & {"script", "link", "iframe", "object", "embed", "base"}
    text = page(findings, [])
    assert 'src="http' not in text
    assert not re.search(r"url\(|@import|https?:", text)


def test_sections_stand_in_their_order(read: Reader) -> None:
    assert list(read.words)[1:] == [
        "Selected features", "Importances and their intervals", "Which features say the same", "Stability",
        "Trees against gates", "The search for a smaller set", "Targets and periods", "What was left out, and why",
        "What was done",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("missing", "section"),
    [
        ("gates", "Trees against gates"),
        ("optimize", "The search for a smaller set"),
        ("rolling", "Stability"),
    ],
)
def test_what_was_not_done_has_no_section(missing: str, section: str) -> None:
    findings = make_findings(**{missing: False})  # type: ignore[arg-type]
    found = without_pictures(findings)
    assert section not in found.words
    assert len(draw_pictures(findings)) == 5
    assert "None" not in " ".join(found.words.values())


def test_the_barest_page_says_what_is_missing() -> None:
    findings = make_findings(gates=False, optimize=False, rolling=False)
    bare = changed(findings, evidence=[], unfit=[], absent={}, stages=[], selected=[], allowlist=None, seconds=None)
    found = Reader(page(replace(bare, evidence=[], strengths={})))
    assert found.images == []
    assert "could be judged" in found.words[""]
    assert "Nothing is selected" in found.words[""]
    assert "none written" in found.words[""]
    assert list(found.words)[1:] == ["Selected features", "What was left out, and why"]


def test_hostile_names_are_text() -> None:
    names = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&amp;b", "'--><b>", "plain", "x", "y"]
    findings = make_findings(names, targets=["<i>target</i>", "</section>"], good=5)
    found = without_pictures(findings)
    assert not found.seen & {"script", "img", "b>", "i"}
    assert {row["feature"] for row in found.rows("Selected features")} == set(findings.document["selected"])
    assert set(names[:4]) <= set(findings.document["core"]["selected"])
    assert {row["target"] for row in found.rows("Targets and periods")} == {"<i>target</i>", "</section>"}


def hostile(value: Any, key: str = "") -> Any:
    """The same document with a tag in every text; periods and times are read, so that they stay what they are."""
    if isinstance(value, dict):
        return {name: hostile(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [hostile(entry, key) for entry in value]
    kept = key in {"period", "periods", "selected", "until", "cut", "first", "last", "last_label_end"}
    return f"<u>{value}" if isinstance(value, str) and not kept else value


def test_no_text_of_the_document_is_a_tag(findings: Findings) -> None:
    bad = replace(findings, document=hostile(findings.document))
    found = without_pictures(bad)
    assert "u" not in found.seen
    assert "<u>tpe" in found.words[""]
    assert "<u>gain less luck" in found.words["Stability"].lower()
    with_gates = Reader(page(bad, [picture for picture in draw_pictures(bad) if picture.topic == "gates"]))
    assert "u" not in with_gates.seen
    assert "<u>train-20260101_1200" in with_gates.words["Trees against gates"]


def test_long_lists_fold_and_lose_nothing() -> None:
    names = [f"column_{number}" for number in range(200)]
    targets = [f"target_{number}" for number in range(9)]
    findings = make_findings(names, targets, ["15m", "1h", "4h", "1d", "1w"], good=60)
    found = without_pictures(findings)
    assert len(findings.document["selected"]) > 60
    assert [row["feature"] for row in found.rows("Selected features")] == findings.document["selected"]
    assert len(found.rows("Targets and periods")) == 45
    assert f"{len(findings.document['selected']) - 30} more rows" in found.words["Selected features"]
    assert "15 more rows" in found.words["Targets and periods"]


def test_pictures_of_many_periods_fold_after_three() -> None:
    periods = ["15m", "1h", "4h", "1d", "1w"]
    findings = make_findings(("a", "b", "c"), ["target_up"], periods, 1, gates=False, optimize=False, rolling=False)
    text = page(findings)
    before, after = text.split("<summary>2 more pictures: ")
    assert before.count("<img") == 3
    assert after.split("</details>")[0].count("<img") == 2


def test_what_remains_of_the_gain_is_called_what_it_is() -> None:
    def verdict(p: float | None, remaining: float) -> str:
        return account(make_findings(p=p, remaining=remaining))[-1]

    assert verdict(0.004, 0.0091) == (
        "After 57 trials so far, +0.91 points of skill (p = 0.004) of the gain over all features remain: "
        "more than luck."
    )
    lost = "After 57 trials so far, the gain over all features comes to {} points of skill (p = {}): none beyond " \
        "luck. It does beat random sets of its size."  # fmt: skip
    assert verdict(0.0501, 0.0091) == lost.format("+0.91", "0.050")
    assert verdict(0.6, -0.0012) == lost.format("\N{MINUS SIGN}0.12", "0.600")
    assert "cannot be told" in verdict(None, 0.0091)
    assert "No walk-forward validation" in remains(None)


@pytest.mark.parametrize(("p", "kind"), [(0.004, "good"), (0.6, "bad"), (None, "")])
def test_the_tile_has_the_colour_of_the_verdict(p: float | None, kind: str) -> None:
    text = page(make_findings(p=p), [])
    assert f'<div class="tile {kind}"><b>+0.91</b>' in text


def test_the_head_counts_evidence_rows_and_trials(findings: Findings) -> None:
    said = " ".join(account(findings))
    evident = sum(p <= 0.05 for p in findings.core["p"].to_list())
    selected = len(findings.document["selected"])
    assert evident == selected + 1
    assert f"{evident} of 12 features have evidence" in said
    assert "at a level of 5 % in each of 4 cells (2 targets, 2 periods). By luck alone 0.2 of these cells" in said
    assert f"{selected} features are selected." in said
    assert "4,000 of 12,000 test rows were read" in said
    assert "no label ends after 2025-01-04 23:00" in said
    assert "In 2 of 4 cells the trees forecast no better than a constant." in said
    assert f"tried 4 subsets of {selected + 1} features and kept {selected}." in said
    assert "gains +0.07 points of skill over all of them (95 % interval \N{MINUS SIGN}0.04 to +0.19, zero among" in said
    assert "this fold is spent" in said
    assert "+1.23 points against all features and +1.45 points against random sets" in said
    assert "Kuncheva index of 0.78" in said


def test_the_head_says_when_the_level_is_of_all_cells_together(findings: Findings) -> None:
    core = {**findings.document["core"], "level_over": "together"}
    said = " ".join(account(changed(findings, core=core)))
    assert "at a level of 5 % over 4 cells (2 targets, 2 periods) together." in said and "By luck" not in said


def test_a_search_that_drops_nothing_claims_no_gain(findings: Findings) -> None:
    pool = findings.document["optimize"]["pool"]
    said = " ".join(account(changed(findings, optimize={**findings.document["optimize"], "size": pool})))
    assert f"tried 4 subsets of {pool} features and kept all of them. Made anew" in said


def test_folds_say_that_gates_play_no_part_where_there_are_gates(findings: Findings) -> None:
    assert "Gates play no part" in without_pictures(findings).words["Stability"]
    assert "Gates play no part" not in without_pictures(make_findings(gates=False)).words["Stability"]


def test_nothing_beyond_the_probes_is_said_plainly() -> None:
    findings = make_findings(good=0, targets=["target_up"], periods=["1h"], rolling=False, optimize=False)
    core = findings.core.with_columns(p=0.7, selected=False)
    nothing = replace(changed(findings, selected=[]), core=core)
    said = " ".join(account(nothing))
    assert said.startswith("None of the 12 features has evidence: at a level of 5 % in 1 cell (1 target, 1 period)")
    assert "Nothing is selected." in said
    found = without_pictures(nothing)
    assert "no feature has evidence" in found.words["Selected features"]
    kept = replace(changed(findings, selected=["feature_1", "feature_2"]), core=core)
    assert "2 features are selected, 2 of them without evidence." in account(kept)


def test_one_feature_of_one_target_at_one_period_makes_a_page() -> None:
    findings = make_findings(["only", "other"], ["target_up"], ["1h"], good=1)
    strengths = {"1h": (("only",), findings.strengths["1h"][1][:1, :1])}
    found = Reader(page(replace(findings, strengths=strengths)))
    assert len(found.images) == 5


def test_the_page_replaces_what_was_there_and_makes_its_folder(tmp_path: Path) -> None:
    findings = make_findings(("a", "b", "c"), ["target_up"], ["1h"], 1, gates=False, optimize=False, rolling=False)
    path = tmp_path / "reports" / "selection.html"
    assert write_page(path, findings) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    path.write_text("old")
    write_page(path, findings)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [item.name for item in path.parent.iterdir()] == ["selection.html"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.0123), "+1.23 %"),
        (percent(None), "\N{EN DASH}"),
        (percent(0.62, signed=False, places=0), "62 %"),
        (points(-0.0012), "\N{MINUS SIGN}0.12"),
        (probability(0.00099), "<0.001"),
        (probability(0.0499), "0.050"),
        (moment("2025-01-04T23:00:00Z"), "2025-01-04 23:00"),
        (moment(0), "1970-01-01 00:00"),
        (moment(None), "\N{EN DASH}"),
    ],
)
def test_numbers_are_written_for_people(shown: str, expected: str) -> None:
    assert shown == expected
