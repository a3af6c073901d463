"""Options that several select commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tftctl.data.allowlist import PLACE

ALLOWLIST = Path(PLACE)

Names = Annotated[str | None, typer.Option(metavar="A,B", help="Only these, separated by commas.")]
Config = Annotated[Path | None, typer.Option(help="Another file than configs/model_config.yaml, which says the cuts.")]
Selection = Annotated[Path | None, typer.Option(help="Another file than configs/selection.yaml.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Cells at a time; by default one per core.")]
SkipUnfit = Annotated[
    bool, typer.Option("--skip-unfit", help="Leave out targets and periods with too few rows or one class, by name.")
]
ValMode = Annotated[
    Literal["ratio", "days"] | None, typer.Option(help="Test folds of a share of the days, or of days.")
]
ValRatio = Annotated[float | None, typer.Option(help="Share of the training days in a test fold.", metavar="SHARE")]
ValDays = Annotated[int | None, typer.Option(min=1, help="Days in a test fold instead of a share of them.")]
FoldCount = Annotated[int | None, typer.Option(min=1, help="Test only so many folds, the newest.")]
Learner = Annotated[
    Literal["lightgbm", "random_forest", "extra_trees"] | None, typer.Option(help="The trees that are asked.")
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="In the workspace; a Parquet and a CSV file per cell.")]
TftFile = Annotated[
    Path | None, typer.Option("--tft-file", metavar="FILE.csv", help="Gates, as tft-gating writes them.")
]
TftBonus = Annotated[
    float | None,
    typer.Option("--tft-bonus", min=0, help="What the best gate adds to a score of 0 to 1.  [default: 0.15]"),
]
Stage = Annotated[str | None, typer.Option(metavar="NAME", help="Weights of this stage; by default of the first.")]
Weights = Annotated[Path | None, typer.Option(metavar="FILE", help="Another file than configs/weights_config.yaml.")]
Topk = Annotated[int | None, typer.Option(min=1, help="Features at most.  [default: 128, or all there are]")]
Pin = Annotated[list[str] | None, typer.Option(metavar="NAME|GLOB", help="Always select it; repeatable.")]
Ban = Annotated[list[str] | None, typer.Option(metavar="NAME|GLOB", help="Never select it; repeatable.")]
KeepBelow = Annotated[
    bool, typer.Option("--keep-below", help="Also features without evidence, the best first, up to --topk.")
]
AllowlistOut = Annotated[Path, typer.Option(metavar="FILE", help="What tftctl train reads.")]
Study = Annotated[Path, typer.Option(metavar="FILE", help="SQLite file of all trials; a search goes on there.")]
Folder = Annotated[Path, typer.Option(metavar="DIR", help="In the workspace; what is there and fresh is read again.")]
LeaveNested = Annotated[
    bool,
    typer.Option(
        "--leave-nested", help="Read nothing of the days on which optimize-subset compares its set at the end."
    ),
]
