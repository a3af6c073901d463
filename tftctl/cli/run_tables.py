"""One run as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tftctl.cli.output import print_table

if TYPE_CHECKING:
    from tftctl.train.runs.show import Parent, RunDetail


def print_run(found: RunDetail) -> None:
    """What it is, what differs from the defaults, stages, values at the best and the last epoch, checkpoints."""
    print_table(("what", "value"), _essentials(found), title=str(found.path))
    _section(
        "configuration that is not the default",
        ("key", "value", "default"),
        [(change.key, change.value, change.default) for change in found.changes],
    )
    _section(
        "stages",
        ("stage", "epochs", "planned", "val_composite_score", "val_loss", "weights"),
        [
            (stage.stage, stage.epochs, stage.plan.get("epochs"), stage.val_composite_score, stage.val_loss,
             stage.plan.get("weights"))
            for stage in found.stages
        ],
    )  # fmt: skip
    _section(f"values, best by {found.monitor}", ("key", "best", "last"), found.values())
    _section(
        "checkpoints",
        ("checkpoint", "epoch", "composite_score", "val_loss", "bytes"),
        [(kept.name, kept.epoch, kept.composite_score, kept.val_loss, kept.bytes) for kept in found.checkpoints],
    )


def _essentials(found: RunDetail) -> list[tuple[str, Any]]:
    from tftctl.train.audited import audit_words
    from tftctl.train.selected import selection_words

    summary = found.summary
    return [
        ("run", summary.run),
        ("command", summary.command),
        ("started", summary.started),
        ("parents", " <- ".join(map(_named, found.parents)) or None),
        ("snapshot", summary.snapshot),
        ("seed", str(found.facts.get("seed", ""))),
        ("device", found.facts.get("device")),
        ("targets", summary.targets),
        ("inputs", found.inputs),
        ("selection", selection_words(found.facts.get("selection"))),
        ("origins", found.facts.get("origins")),
        ("audit", audit_words(found.facts.get("audit"))),
        ("epochs", summary.epochs),
        ("val_composite_score", summary.val_composite_score),
        ("val_loss", summary.val_loss),
        ("bytes", summary.bytes),
    ]


def _named(parent: Parent) -> str:
    return parent.run if parent.there else f"{parent.run} (no longer there)"


def _section(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table below the others; nothing for an empty one."""
    if rows:
        print_table(columns, rows, title=f"\n{title}")
