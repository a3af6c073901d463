"""Where a selection leaves its files. Importing this module imports nothing heavy: the command line needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """Files of a selection in its folder."""

    folder: Path

    @property
    def trees(self) -> Path:
        """Evidence by target and period."""
        return self.folder / "tree_perm"

    @property
    def gates(self) -> Path:
        """Gate weights."""
        return self.folder / "tft_gating.csv"

    @property
    def core(self) -> Path:
        """The core set."""
        return self.folder / "aggregated_core.csv"

    @property
    def study(self) -> Path:
        """Every trial of the search."""
        return self.folder / "optimize_subset.sqlite3"

    @property
    def rolling(self) -> Path:
        """Evidence before each test block."""
        return self.folder / "rolling_validate"

    @property
    def report(self) -> Path:
        """The JSON report; the page lies beside it."""
        return self.folder / "report.json"


PLACES = Places(Path("reports/feature_evidence"))  # in the workspace
