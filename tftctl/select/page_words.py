"""What a selection found, in plain sentences: honest also where nothing is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tftctl.core.times import iso

if TYPE_CHECKING:
    from tftctl.select.page import Findings

Document = Mapping[str, Any]
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
# beyond it what remains of a gain is called luck
LARGEST_P = 0.05


def count_of(number: int, noun: str) -> str:
    """`1 feature`, `1,200 features`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float | None, *, signed: bool = True, places: int = 2) -> str:
    """A share as a percentage; a dash for none."""
    if share is None:
        return DASH
    return f"{100 * share:{'+' if signed else ''}.{places}f} %".replace("-", MINUS)


def points(difference: float | None) -> str:
    """A difference of shares in points of a hundred; a dash for none."""
    return DASH if difference is None else f"{100 * difference:+.2f}".replace("-", MINUS)


def probability(p: float | None) -> str:
    """Three digits, and no zero that is none."""
    return DASH if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def moment(when: str | int | None) -> str:
    """To the minute, in UTC; `when` is ISO 8601 or milliseconds."""
    if when is None:
        return DASH
    text = iso(when) if isinstance(when, int) else str(when)
    return text[:16].replace("T", " ") if text[10:11] == "T" else text


def evident(findings: Findings) -> set[str]:
    """The features of the pool that have evidence, whether they were chosen or not."""
    level = findings.document["core"]["level"]
    return {name for name, p in findings.core.select("feature", "p").iter_rows() if p is not None and p <= level}


def account(findings: Findings) -> list[str]:
    """The paragraph at the head of the page, sentence by sentence."""
    document = findings.document
    return [
        *_of_evidence(findings),
        *_of_rows(document),
        *_of_search(document.get("optimize")),
        *_of_folds(document.get("rolling")),
        remains(document.get("rolling")),
    ]


def _of_evidence(findings: Findings) -> Iterator[str]:
    document = findings.document
    pool, cells, found = int(document["pool"]), len(document["evidence"]), len(evident(findings))
    level, together = document["core"]["level"], document["core"]["level_over"] == "together"
    where = f"{count_of(cells, 'cell')} ({count_of(len(document['targets']), 'target')}, " \
        f"{count_of(len(document['periods']), 'period')})"  # fmt: skip
    at = f"at a level of {100 * level:g} % " + ("over " if together else "in each of " if cells > 1 else "in ") + where
    if not cells:
        yield f"None of the {count_of(pool, 'feature')} could be judged: no target has enough rows at any period."
    elif not found:
        yield (
            f"None of the {count_of(pool, 'feature')} has evidence: {at}, "
            "no importance is beyond what luck reaches with features shifted in time."
        )
    else:
        yield (
            f"{found:,} of {count_of(pool, 'feature')} {'has' if found == 1 else 'have'} evidence: an importance for "
            f"at least one target that features shifted in time do not reach by luck, {at}"
            f"{' together' if together and cells > 1 else ''}."
        )
        if cells > 1 and not together:
            yield f"By luck alone {level * cells:.1f} of these cells can be expected to let something in."
    yield _of_selected(findings)


def _of_selected(findings: Findings) -> str:
    selected = findings.document.get("selected") or []
    if not selected:
        return "Nothing is selected."
    unproven = len(set(selected) - evident(findings))
    without = f", {unproven:,} of them without evidence" if unproven else ""
    return f"{count_of(len(selected), 'feature')} {'is' if len(selected) == 1 else 'are'} selected{without}."


def _of_rows(document: Document) -> Iterator[str]:
    cells = document["evidence"]
    if not cells:
        return
    there, read = (sum(number(cell[key]) for cell in cells) for key in ("test_rows", "test_rows_read"))
    yield (
        f"Importances were measured on purged test folds inside the training rows, of which {read:,} of {there:,} test "
        f"rows were read; no label ends after {moment(document['last_label_end'])}, and the training cut is "
        f"{moment(document['cut'])}."
    )
    worse = sum(cell["skill"] is not None and cell["skill"] <= 0 for cell in cells)
    if worse:
        yield f"In {worse} of {len(cells)} cells the trees forecast no better than a constant."


def number(value: int | Sequence[int] | None) -> int:
    """A number of rows, or the sum over folds."""
    return 0 if value is None else value if isinstance(value, int) else sum(value)


def _of_search(found: Document | None) -> Iterator[str]:
    if not found:
        return
    everything = found["size"] == found["pool"]
    yield (
        f"A search ({found['method']}) tried {count_of(found['trials'], 'subset')} of {found['pool']:,} features and "
        f"kept {'all of them' if everything else format(found['size'], ',')}."
    )
    nested = found.get("nested")
    if everything or not nested or not nested.get("gain"):
        return
    gain = nested["gain"]
    verdict = "" if gain["low"] > 0 or gain["high"] < 0 else ", zero among it"
    yield (
        f"On rows that it never saw, this gains {points(gain['value'])} points of skill over all of them (95 % "
        f"interval {points(gain['low'])} to {points(gain['high'])}{verdict})."
    )
    if nested.get("seen_by_pool"):
        yield "The evidence that made the pool has read these rows, so their skill flatters."
    if nested.get("spent_before"):
        yield f"They had been looked at {count_of(int(nested['spent_before']), 'time')} before: this fold is spent."


def _of_folds(rolling: Document | None) -> Iterator[str]:
    if not rolling:
        return
    folds, kuncheva = rolling["folds"], rolling["stability"].get("kuncheva")
    gains = rolling["gains"]
    against = [
        f"{points(gains[key]['value'])} points against {text}"
        for key, text in (("all", "all features"), ("random", "random sets of its size"))
        if gains.get(key)
    ]
    yield (
        f"Made anew before each of {count_of(len(folds), 'walk-forward fold')}, the selection changes the skill on it "
        f"by {join(against)}."
    )
    if kuncheva is not None:
        yield f"Its folds agree with a Kuncheva index of {kuncheva:.2f} (1: the same features, 0: no more than chance)."


def join(parts: Sequence[str]) -> str:
    """`a, b and c`; `nothing that can be told` of none."""
    if len(parts) < 2:
        return parts[0] if parts else "nothing that can be told"
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def remains(rolling: Document | None) -> str:
    """What is left of the gain when all trials are remembered."""
    if not rolling or not rolling.get("deflated"):
        return "No walk-forward validation was made: nobody knows how far this selection holds on later rows."
    found = rolling["deflated"]
    tried = count_of(found["trials"], "trial")
    if found["p"] is None:
        return f"The gain does not vary from block to block, so that luck cannot be told from it ({tried} so far)."
    numbers = f"{points(found['gain'])} points of skill (p = {probability(found['p'])})"
    if is_skill(rolling):
        return f"After {tried} so far, {numbers} of the gain over all features remain: more than luck."
    random = (rolling.get("gains") or {}).get("random")
    besides = " It does beat random sets of its size." if random and random["low"] > 0 else ""
    return f"After {tried} so far, the gain over all features comes to {numbers}: none beyond luck.{besides}"


def is_skill(rolling: Document | None) -> bool | None:
    """Whether a gain is left; None where this cannot be told."""
    found = (rolling or {}).get("deflated")
    if not found or found["p"] is None:
        return None
    return bool(found["gain"] > 0 and found["p"] <= LARGEST_P)
