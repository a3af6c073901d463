"""The panel of a running training; it fits into 40 columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tftctl.cli.training_state import EpochRow, TrainingState

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tftctl.core.progress import TrainingStatus

WIDEST = 100
# below this a row of the tables loses its time, so that its numbers stay whole
NARROW = 56


def panel(state: TrainingState, width: int) -> Panel:
    """Bars, pace and scores, losses per target, the last epochs. The state must have seen a status."""
    status = state.status
    assert status is not None
    room = min(width, WIDEST) - 4
    narrow = width < NARROW
    parts: list[RenderableType] = [_bars(status), Text(_packed(_pace(state, status), room))]
    if state.rows:
        parts += [Text(_packed(_scores(state, narrow=narrow), room))]
    if losses := state.target_losses():
        parts += [Text(), _losses(losses)]
    if state.rows:
        parts += [Text(), _epochs(state, narrow=narrow)]
    title = Text(f"training, {status.stage}", overflow="ellipsis", no_wrap=True)
    return Panel(Group(*parts), title=title, title_align="left", width=min(width, WIDEST), border_style="dim")


def _bars(status: TrainingStatus) -> Table:
    whole = status.phase == "epoch"
    part = status.done / status.total if status.total and not whole else 0.0
    epochs = status.epoch + (1.0 if whole or status.phase == "validation" else part)
    word = {"train": "step", "validation": "validation", "epoch": "step"}[status.phase]
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    for name, done, total, text in (
        ("epoch", epochs, status.epochs, f"{status.epoch + 1}/{status.epochs}"),
        (word, status.done, status.total, f"{status.done:,}/{status.total:,}"),
    ):
        grid.add_row(name, ProgressBar(total=max(total, 1), completed=min(done, max(total, 1))), text)
    return grid


def _pace(state: TrainingState, status: TrainingStatus) -> list[str]:
    facts = [f"lr {status.lr:.3g}"] if math.isfinite(status.lr) else []
    if math.isfinite(status.windows_per_second) and not state.over:
        facts.append(f"{status.windows_per_second:,.0f} windows/s")
    facts.append(f"elapsed {duration(state.seconds)}")
    if math.isfinite(status.remaining_seconds) and not state.over:
        facts.append(f"ETA {duration(status.remaining_seconds)}")
    return facts


def _scores(state: TrainingState, *, narrow: bool) -> list[str]:
    """The last epoch's loss and score, each with the best so far and, where there is room, its epoch."""

    def best(row: EpochRow | None, name: str) -> str:
        where = f", epoch {row.epoch + 1}" if row is not None and not narrow else ""
        return f" (best {getattr(row, name):.4f}{where})" if row is not None else ""

    last = state.rows[-1]
    loss = f"val_loss {last.val_loss:.4f}{best(state.best_loss, 'val_loss')}"
    return [loss, f"composite {last.composite:.4f}{best(state.best_composite, 'composite')}"]


def _packed(facts: list[str], room: int) -> str:
    """As many facts in a line as fit, each of them whole."""
    lines = [facts[0]]
    for fact in facts[1:]:
        if len(lines[-1]) + 3 + len(fact) > room:
            lines.append(fact)
        else:
            lines[-1] += f"   {fact}"
    return "\n".join(lines)


def _losses(losses: list[tuple[str, float, float]]) -> Table:
    table = _table("loss", "train", "val")
    for name, train, validation in losses:
        table.add_row(Text(name.removeprefix("target_"), overflow="fold"), _number(train), _number(validation))
    return table


def _epochs(state: TrainingState, *, narrow: bool) -> Table:
    """The last epochs, the newest last; a star marks the best score."""
    staged = state.status is not None and state.status.stages > 1 and not narrow
    names = ["epoch", *(["stage"] if staged else []), "train_loss", "val_loss", "composite"]
    table = _table(*(names if not narrow else ["epoch", "train", "val", "score"]), *([] if narrow else ["time"]))
    for row in state.rows:
        best = state.best_composite is not None and row.epoch == state.best_composite.epoch
        cells = [str(row.epoch + 1) + ("*" if best else " "), *([row.stage] if staged else [])]
        cells += [_number(row.train_loss), _number(row.val_loss), _number(row.composite)]
        table.add_row(*cells, *([] if narrow else [duration(row.seconds)]), style="bold" if best else "")
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(names):
        left = place == 0 or name == "stage"
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    return table


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def duration(seconds: float) -> str:
    """`12 s`, `3:05`, `1:02:03`, `2 d 3:04:05`."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    days, rest = divmod(whole, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    text = f"{hours}:{minutes:02d}:{rest % 60:02d}" if hours or days else f"{minutes}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text
