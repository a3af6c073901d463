"""What a training says before it begins: sizes, cuts, balance, and what is left out and why (SEMANTICS S3, M1)."""

from __future__ import annotations

import numpy as np

from tftctl.core.config.model import ModelConfig
from tftctl.core.progress import Say
from tftctl.core.times import iso
from tftctl.data.assemble import Prepared


def announce(prepared: Prepared, config: ModelConfig, say: Say) -> None:
    """Say inputs, origins per part and period, cuts, and origins left out per reason and group."""
    spec = prepared.spec
    sizes = ", ".join(f"{rows.size:,} {name}" for name, rows in prepared.splits.items())
    say(f"{len(spec.inputs)} inputs, {len(spec.targets)} targets, {len(spec.groups)} groups; origins: {sizes}")
    say(f"training ends {iso(spec.train_end)}, validation {iso(spec.val_end)}; checkpoints are chosen on the "
        f"{prepared.choosing.size:,} validation origins up to {iso(spec.choice_end)}")  # fmt: skip
    strangers = [f"{group.symbol} {group.period}" for group in spec.groups if group.pooled]
    if strangers:
        say(f"scaled as their period's others, under the code of an unknown symbol: {', '.join(strangers)}")
    train_rows = prepared.splits["train"]
    period = np.array([prepared.panel.groups[g].period for g in prepared.panel.group[train_rows]])
    found = ", ".join(f"{p} {int((period == p).sum()):,}" for p in spec.periods)
    drawn = f"; an epoch draws as many from each of the {config.balance}" if config.balance != "none" else ""
    say(f"training origins per period: {found}{drawn}")
    reasons: dict[str, dict[tuple[str, int], list[str]]] = {}
    for reason, symbol, name, rows in prepared.left_out:
        reasons.setdefault(reason, {}).setdefault((name, rows), []).append(symbol)
    for reason, groups in reasons.items():
        say(f"left out ({reason}): " + "; ".join(_counted(*key, symbols) for key, symbols in groups.items()))


def _counted(period: str, rows: int, symbols: list[str]) -> str:
    """`1h 23 (BTCUSDT)`, `1h 23 each (BTCUSDT, ETHUSDT)`."""
    return f"{period} {rows:,}{' each' if len(symbols) > 1 else ''} ({', '.join(symbols)})"
