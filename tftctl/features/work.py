"""One symbol's rows at all periods: what a plan asks for, computed once, bars to fused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from tftctl.core.names import ROW_COLUMNS, age_column
from tftctl.core.periods import DAY_MS, period_ms
from tftctl.features.changes import BAR_HASH, EVER, bar_hashes
from tftctl.features.columns import wide_columns
from tftctl.features.contextual import contextual_columns
from tftctl.features.crosssection import CrossSections
from tftctl.features.fuse import Context, fuse_context, fuse_macro
from tftctl.features.groups import stored
from tftctl.features.layout import Layout
from tftctl.features.plan import Affected, PeriodPlan, TablePlan
from tftctl.features.reading import PreparedBars, StoredRows
from tftctl.store import Snapshot

# instants from the first on and before the second, None for no end
Span = tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class Made:
    """Rows of one group for one table: all of them, or those that replace stored ones. `removed` are timestamps."""

    table: str
    period: str
    frame: pl.DataFrame
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """What the plans of a build ask for, for the groups of one snapshot."""

    bars: PreparedBars
    plans: Mapping[str, PeriodPlan]
    cross: Mapping[str, CrossSections] = field(default_factory=dict)

    @property
    def snapshot(self) -> Snapshot:
        """What is built from."""
        return self.bars.snapshot

    @property
    def layout(self) -> Layout:
        """What is asked of it."""
        return self.bars.layout

    def rows_of(self, symbols: Sequence[str]) -> Iterator[tuple[str, Made]]:
        """Everything to write for some symbols, one after the other."""
        rows = StoredRows(self.snapshot, [symbol for symbol in symbols if self._touches(symbol)])
        for symbol in symbols:
            for made in _Symbol(self, symbol, rows).all():
                yield symbol, made

    def _touches(self, symbol: str) -> bool:
        return any(
            "rewrite" in {table.mode for table in plan.tables.values()}
            or (plan.macro_changed or plan.cross_since_ms is not None)
            or any(symbol in names for names in (plan.affected, plan.fresh, plan.slots_since_ms))
            for plan in self.plans.values()
        )


@dataclass
class _Symbol:
    """One symbol under way; `made` holds feature rows of this build by period."""

    work: Work
    symbol: str
    rows: StoredRows
    made: dict[str, pl.DataFrame] = field(default_factory=dict)

    def all(self) -> Iterator[Made]:
        """Features and targets of all periods first, then fused rows."""
        mine = [plan for plan in self.work.plans.values() if self.symbol in plan.symbols]
        for plan in mine:
            yield from self.own(plan)
        for plan in mine:
            yield from self.fused(plan)

    def own(self, plan: PeriodPlan) -> Iterator[Made]:
        features, targets = plan.tables["features"], plan.tables["targets"]
        affected = plan.affected.get(self.symbol)
        fresh = self.symbol in plan.fresh
        if not (_needed(features, affected, fresh) or _needed(targets, affected, fresh)):
            yield from self._restated(plan)
            return
        prepared = self.work.bars.of(plan.period, self.symbol)
        removed = affected.change.removed if affected else ()
        if _needed(features, affected, fresh):
            frame = self._features(prepared, plan.period, features, affected, fresh)
            frame = pl.concat([frame, *(made.frame for made in self._restated(plan, frame))]).sort("timestamp")
            self.made[plan.period] = frame
            yield Made("features", plan.period, frame, removed)
        if _needed(targets, affected, fresh):
            start, stop = affected.labels if affected and targets.mode == "patch" else (0, prepared.height)
            yield Made("targets", plan.period, stored(self.work.layout.recipe.labels(prepared, start, stop)), removed)

    def fused(self, plan: PeriodPlan) -> Iterator[Made]:
        table = plan.tables["fused"]
        sources = [self.work.plans[q] for q in (plan.period, *self.work.layout.contexts(plan.period))]
        affected = [source.affected[self.symbol] for source in sources if self.symbol in source.affected]
        spans: list[Span] = [(entry.since_ms, entry.until_ms) for entry in affected]
        spans += [(source.cross_since_ms, None) for source in sources if source.cross_since_ms is not None]
        # how stale a value of a context is depends on the bars expected there
        others = [source.slots_since_ms for source in sources[1:]]
        spans += [(since[self.symbol], None) for since in others if self.symbol in since]
        fresh = any(self.symbol in source.fresh for source in sources)
        if table.mode == "keep":
            return
        if table.mode == "rewrite" or fresh:
            yield Made("fused", plan.period, self._fuse(plan.period, self._current(plan.period)))
        elif spans or plan.macro_changed:
            own = plan.affected.get(self.symbol)
            removed = own.change.removed if own else ()
            yield Made("fused", plan.period, self._patched(plan, spans), removed)

    def _patched(self, plan: PeriodPlan, spans: Sequence[Span]) -> pl.DataFrame:
        """Fused rows available in one of the spans, and those that other macro values reach."""
        since = EVER if plan.macro_changed else min(since for since, _ in spans)
        rows = self._current(plan.period, since)
        if not plan.macro_changed:
            return self._fuse(plan.period, rows.filter(_within(spans)))
        fused = self._fuse(plan.period, rows)
        return fused.filter(_within(spans) | self._macro_differs(plan.period, fused))

    def _features(
        self, prepared: pl.DataFrame, period: str, table: TablePlan, affected: Affected | None, fresh: bool
    ) -> pl.DataFrame:
        """Stored form of the feature rows: patched rows, all rows, or all rows with only stale columns computed."""
        layout = self.work.layout
        names = [column.name for column in layout.own]
        start, stop, stale = 0, prepared.height, None
        if affected and table.mode == "patch":
            start, stop = affected.features
        elif not affected and not fresh:
            stale = set(table.stale)
        rows = layout.recipe.features(prepared, start, stop, stale)
        rows = rows.with_columns(bar_hashes(prepared.slice(start, stop - start)), *self._crossed(period, rows))
        rows = stored(rows, wide_columns(layout.own))
        kept = [name for name in names if name not in rows.columns]
        if kept:
            before = self.rows.of("features", period, self.symbol, kept)
            rows = rows.with_columns(before.select(kept).get_columns())
        return rows.select(*ROW_COLUMNS, BAR_HASH, *names)

    def _crossed(self, period: str, rows: pl.DataFrame) -> list[pl.Series]:
        cross = self.work.cross.get(period)
        return [] if cross is None else cross.of(self.symbol, rows)

    def _restated(self, plan: PeriodPlan, made: pl.DataFrame | None = None) -> Iterator[Made]:
        """Stored rows whose own bars are as they were, with cross-sections that others' bars have changed."""
        cross = self.work.cross.get(plan.period)
        if cross is None or plan.mode("features") != "patch" or self.symbol in plan.fresh:
            return
        names = [column.name for column in self.work.layout.own]
        rows = self.rows.of("features", plan.period, self.symbol, [*ROW_COLUMNS[3:], BAR_HASH, *names])
        own = plan.affected.get(self.symbol)
        gone = [*(own.change.removed if own else ()), *(made["timestamp"] if made is not None else ())]
        rows = _without(rows, gone).filter(pl.col("available_at") >= cross.since_ms)
        fresh = stored(rows.with_columns(cross.of(self.symbol, rows)), wide_columns(self.work.layout.own))
        differs = pl.any_horizontal(pl.lit(False), *(~pl.col(n).eq_missing(rows[n]) for n in cross.columns))
        changed = fresh.filter(differs).select(*ROW_COLUMNS, BAR_HASH, *names)
        if changed.height:
            self.made.setdefault(plan.period, changed)
            yield Made("features", plan.period, changed)

    def _current(self, period: str, since_ms: int = EVER, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Feature rows as they will be after this build, from those that open a while before `since_ms` on."""
        names = [column.name for column in self.work.layout.own] if columns is None else list(columns)
        wanted = [*ROW_COLUMNS, *names]
        plan = self.work.plans[period]
        mine = self.made.get(period)
        if mine is not None and (plan.mode("features") == "rewrite" or self.symbol in plan.fresh):
            return mine.select(wanted)
        # a filled bar opens long before it is available, a session's day before its close
        before = (self.work.layout.recipe.config.max_fill_bars + 2) * period_ms(period) + 8 * DAY_MS
        rows = self.rows.of("features", period, self.symbol, [*wanted[2:]], since_ms - before)
        if mine is None:
            return rows.select(wanted)
        own = plan.affected.get(self.symbol)
        gone = [*(own.change.removed if own else ()), *mine["timestamp"]]
        return pl.concat([_without(rows, gone).select(wanted), mine.select(wanted)]).sort("timestamp")

    def _fuse(self, period: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Stored form of fused rows: own columns, context and macro joined by what was available."""
        layout = self.work.layout
        config = layout.recipe.config
        for q in layout.contexts(period):
            if self.symbol in self.work.plans[q].symbols:
                seen = self._current(q, columns=config.context_features)
                calendar = layout.recipe.calendars[self.symbol]
                context = Context(q, seen, tuple(config.context_features), calendar)
                rows = fuse_context(rows, context, config.max_stale)
        for series in layout.macro:
            rows = fuse_macro(rows, series, config.max_stale)
        rows = rows.with_columns(contextual_columns(layout.recipe, layout.contexts(period), rows))
        absent = [column for column in layout.fused if column.name not in rows.columns]
        rows = rows.with_columns(
            pl.lit(None, dtype=pl.Float64 if column.dtype == "Float64" else pl.Float32).alias(column.name)
            for column in absent
        )
        names = [*ROW_COLUMNS, *(column.name for column in layout.fused)]
        return stored(rows.select(names), wide_columns(layout.fused))

    def _macro_differs(self, period: str, fused: pl.DataFrame) -> pl.Series:
        """Rows whose macro values or ages are not the stored ones."""
        names = [name for series in self.work.layout.macro for name in (series.name, age_column(series.name))]
        before = self.rows.of("fused", period, self.symbol, names)
        beside = fused.select("timestamp").join(before, on="timestamp", how="left", maintain_order="left")
        differs = np.zeros(fused.height, bool)
        for name in names:
            differs |= ~fused[name].eq_missing(beside[name]).to_numpy()
        return pl.Series(differs)


def _needed(table: TablePlan, affected: Affected | None, fresh: bool) -> bool:
    return table.mode == "rewrite" or (table.mode == "patch" and (affected is not None or fresh))


def _without(rows: pl.DataFrame, timestamps: Sequence[int]) -> pl.DataFrame:
    """The rows that do not open at these times."""
    return rows.filter(~pl.col("timestamp").is_in(pl.Series(timestamps, dtype=pl.Int64).implode()))


def _within(spans: Sequence[Span]) -> pl.Expr:
    """Rows available in one of the spans."""
    at = pl.col("available_at")
    parts = ((at >= since) if until is None else (at >= since) & (at < until) for since, until in spans)
    return pl.any_horizontal(pl.lit(False), *parts)
