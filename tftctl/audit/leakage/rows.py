"""Fused rows of one group: own columns, indicators over rows, joins, and when each row is available."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from tftctl.audit.leakage.classes import OPEN_TIME, OTHER_SYMBOLS, Question, classify
from tftctl.audit.leakage.compare import Array, alongside, columns_of, differing, missing_rows, not_as_stored
from tftctl.audit.leakage.evidence import UNSTEADY, Evidence, Unproven
from tftctl.audit.leakage.joins import WRONG_RELEASES, Join, Misjoined, context_join, misjoined, note_misjoined
from tftctl.audit.leakage.merges import Ways, explained_by, wrong_ways
from tftctl.audit.leakage.world import Group
from tftctl.core.errors import PluginError
from tftctl.core.frequencies import advance, period_end
from tftctl.core.names import age_column, context_column
from tftctl.features.contextual import contextual_columns
from tftctl.features.engine import numbers
from tftctl.features.fuse import MacroSeries
from tftctl.features.layout import Layout
from tftctl.features.reading import by_symbol
from tftctl.store import Snapshot

PARTS, ALONE = 7, 5  # into which fused rows are divided; rows that are run each for itself


def audit_rows(
    snapshot: Snapshot,
    layout: Layout,
    group: Group,
    fused: pl.DataFrame,
    features: pl.DataFrame,
    labels: Mapping[str, Array],
    evidence: Evidence,
) -> None:
    """Note fused columns of a group that are not what the features, other periods and series say.

    `features`, `fused`: stored rows; `labels` (rows,) by target: what is not as it should be may be one.
    """
    _available(group, fused, evidence)
    own = [column.name for column in layout.own if column.name in features.columns and column.name in fused.columns]
    _own_columns(group, fused, features, own, labels, evidence)
    joins = list(_joins(snapshot, layout, group, fused))
    for join in joins:

        def more(value: str, expected: Array, join: Join = join) -> Ways:
            ways = wrong_ways(expected, labels)
            return ways | ({OTHER_SYMBOLS: [_others_next(snapshot, join, value)]} if join.slow_period else {})

        for found in misjoined(join, more):
            note_misjoined(found, evidence)
    _contextual(layout, group, fused, evidence)
    joined = {name for join in joins for name in (*join.columns.values(), join.age)}
    contextual = {column for instance in layout.recipe.contextual for column in instance.columns}
    _nothing_else(snapshot, group, fused, {*own, *joined, *contextual}, evidence)


def _nothing_else(
    snapshot: Snapshot, group: Group, fused: pl.DataFrame, known: set[str | None], evidence: Evidence
) -> None:
    """A column that does not apply to a group is null there (F4)."""
    for name in snapshot.meta("fused").get("columns", {}):
        if name not in known and name in fused.columns:
            evidence.outdated("fused", name, group.name, fused["timestamp"].filter(fused[name].is_not_null()))


def _others_next(snapshot: Snapshot, join: Join, value: str) -> Array:
    """Mean over all symbols of a slower period's next values, as rows of the join would see it."""
    rows = snapshot.collect(snapshot.scan("features", join.slow_period, columns=["available_at", value]))
    mean = rows.group_by("available_at").agg(pl.col(value).cast(pl.Float64).mean()).sort("available_at")
    place = np.searchsorted(mean["available_at"].to_numpy(), join.fast["available_at"].to_numpy(), side="right")
    padded = np.append(mean[value].to_numpy(), np.nan)
    return padded[np.minimum(place, padded.size - 1)]


def _available(group: Group, fused: pl.DataFrame, evidence: Evidence) -> None:
    """A row may not claim to be there before its bar is complete."""
    bars = group.prepared.select("timestamp", at="available_at")
    early = fused.join(bars, on="timestamp", how="inner").filter(pl.col("available_at") < pl.col("at"))
    if early.height:
        how = "rows are available before their bar is complete"
        evidence.suspect("available_at", group.name, early["timestamp"], how, "fusion", OPEN_TIME)


def _own_columns(
    group: Group,
    fused: pl.DataFrame,
    features: pl.DataFrame,
    names: Sequence[str],
    labels: Mapping[str, Array],
    evidence: Evidence,
) -> None:
    there = alongside(features, fused)
    if there is None:
        evidence.outdated("fused", "timestamp", group.name, missing_rows(features, fused))
        return
    features = there
    stamps = fused["timestamp"].to_numpy()
    for name in names:
        apart = not_as_stored(features[name], fused[name])
        if apart.any():
            stored, expected = numbers(fused[name]), numbers(features[name])
            kind = explained_by(stored, expected, apart, wrong_ways(expected, labels))
            note_misjoined(
                Misjoined(name, *group.name, tuple(stamps[apart][:8].tolist()), int(apart.sum()), kind), evidence
            )


def _joins(snapshot: Snapshot, layout: Layout, group: Group, fused: pl.DataFrame) -> Iterator[Join]:
    recipe = layout.recipe
    for q in layout.contexts(group.period):
        names = [name for name in recipe.config.context_features if context_column(name, q) in fused.columns]
        there = q in snapshot.periods("features") and group.symbol in snapshot.symbols("features", q)
        if there and names:
            slow = by_symbol(snapshot, "features", q, [group.symbol], ["available_at", "is_filled", *names])
            calendar = recipe.calendars[group.symbol]
            yield context_join(fused, slow[group.symbol], group.name, q, names, calendar, recipe.config.max_stale)
    made_from = snapshot.meta("fused").get("macro", {}).get(group.period, {})
    for series in layout.macro:
        if series.name in fused.columns and made_from.get(series.name) == layout.macro_versions[series.name]:
            yield _macro_join(group, fused, series, recipe.config.max_stale)


def _macro_join(group: Group, fused: pl.DataFrame, series: MacroSeries, max_stale: int) -> Join:
    stamps, at = (series.rows[name].to_numpy() for name in ("timestamp", "available_at"))
    lag = at - period_end(stamps, series.frequency, series.stamp)
    due = period_end(advance(stamps, series.frequency, max_stale + 1), series.frequency, series.stamp) + lag
    order = np.argsort(stamps, kind="stable")
    return Join(
        *group.name,
        fast=fused,
        slow=series.rows.sort("timestamp"),
        columns={"value": series.name},
        age=age_column(series.name),
        max_stale=max_stale,
        due=due[order],
        wrong=WRONG_RELEASES,
    )


def _contextual(layout: Layout, group: Group, fused: pl.DataFrame, evidence: Evidence) -> None:
    """Each row for itself: in another order, in parts and alone every row has the value that it had."""
    recipe = layout.recipe
    names = [column for instance in recipe.contextual for column in instance.columns if column in fused.columns]
    if not names:
        return
    if not _inputs_there(layout, group, fused):
        evidence.unproven.extend(Unproven(name, *group.name, "what it reads was pruned") for name in names)
        return
    run = _contextual_run(layout, group)
    order = np.random.default_rng(fused.height).permutation(fused.height)
    parts = [part for part in (*np.array_split(order[ALONE:], PARTS), *order[:ALONE, None]) if part.size]
    try:
        base, again = run(fused), run(fused)
        made = pl.concat([run(fused[part]) for part in parts])
    except PluginError as error:
        evidence.unproven.extend(Unproven(name, *group.name, error.message) for name in names)
        return
    values, twice, moved = (columns_of(frame, names) for frame in (base, again, made))
    seen = np.concatenate(parts)
    tolerance = {c: i.record.tolerance for i in recipe.contextual for c in i.columns}
    for name in names:
        if np.isfinite(values[name]).any():
            evidence.valid.add(name)
            evidence.valued.add(name)
        if differing(values[name], twice[name]).any():
            evidence.unproven.append(Unproven(name, *group.name, UNSTEADY))
            continue
        apart = differing(values[name][seen], moved[name], tolerance[name])
        if apart.any():
            _other_rows(group, fused, run, name, np.sort(seen[apart]), evidence)
        else:
            other = not_as_stored(base[name], fused[name])
            evidence.outdated("fused", name, group.name, fused["timestamp"].to_numpy()[other])


def _inputs_there(layout: Layout, group: Group, fused: pl.DataFrame) -> bool:
    """A pruned table may lack what such an indicator reads; it was made before."""
    inputs = {name for instance in layout.recipe.contextual for name in instance.inputs}
    seen = {context_column(name, q) for name in inputs for q in layout.contexts(group.period)}
    return inputs | seen <= set(fused.columns)


def _other_rows(group: Group, fused: pl.DataFrame, run: Callable[[pl.DataFrame], pl.DataFrame], name: str,
                rows: np.ndarray, evidence: Evidence) -> None:  # fmt: skip
    """Rows that see others: a leak where these come later."""

    def column(frame: pl.DataFrame) -> Array:
        return columns_of(run(frame), [name])[name]

    question = Question(fused, column, rows[np.unique(np.linspace(0, rows.size - 1, 64).astype(int))].tolist())
    values = column(fused)
    later = [row for row in question.rows if question.differs(float(values[row]), question.ending(row, 0))]
    stamps = fused["timestamp"].to_numpy()
    if later:
        kind, detail = classify(Question(fused, column, later), {})
        evidence.suspect(name, group.name, stamps[later], detail, "fusion", kind)
    else:
        evidence.unproven.append(Unproven(name, *group.name, "its rows see each other; one for itself is what it may"))


def _contextual_run(layout: Layout, group: Group) -> Callable[[pl.DataFrame], pl.DataFrame]:
    contexts = layout.contexts(group.period)
    return lambda frame: pl.DataFrame(contextual_columns(layout.recipe, contexts, frame))


def early_releases(series: MacroSeries, lag: int) -> list[int]:
    """Stamps of a series' values that are available before their reference period and its release lag are over."""
    stamps, at = (series.rows[name].to_numpy() for name in ("timestamp", "available_at"))
    return np.sort(stamps[at < period_end(stamps, series.frequency, series.stamp) + lag]).tolist()
