"""Gate weights of a trained network's variable selections, averaged over its training origins (SEMANTICS A4, S1).

A row is weighed by itself and its group alone (R1): each row goes through the selection once, however many windows
hold it, and the windows' means are sums over neighbouring rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tftctl.core.progress import Report, silent
from tftctl.data.assemble import Prepared
from tftctl.data.windows import WindowSource
from tftctl.model.network import ForecastNetwork, Part
from tftctl.select.gate_scores import ALL_SYMBOLS
from tftctl.select.moments import Array, Moments, merge, moments

PARTS: tuple[Part, ...] = ("encoder", "decoder", "static")
Rows = npt.NDArray[np.int64]
# rows that go through a selection at once
_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class Gates:
    """Weights of the variables of each part over origins.

    `names`: a part's variables as the network calls them. `groups`: (part, period, symbol) -> (V,), the symbol `*`
    being all of them together; an encoder weight of one origin is the mean over its positions. `positions`:
    period -> (E, V), of all symbols together; the last position is the origin's own row.
    """

    names: Mapping[Part, list[str]]
    groups: Mapping[tuple[Part, str, str], Moments]
    positions: Mapping[str, Moments]


def gate_weights(prepared: Prepared, network: ForecastNetwork, report: Report = silent) -> Gates:
    """Means and spreads over all training origins, on the CPU; memory is that of a chunk of rows.

    The network is in evaluation mode.
    """
    panel, train = prepared.panel, prepared.splits["train"]
    groups: dict[tuple[Part, str, str], Moments] = {}
    positions: dict[str, Moments] = {}
    done = 0

    def advance(origins: int) -> None:
        nonlocal done
        done += origins
        report("gates", done, train.size)

    for number, group in enumerate(panel.groups):
        origins = train[np.searchsorted(train, group.start) : np.searchsorted(train, group.stop)]
        if not origins.size:
            continue
        selection = _Selection(network, prepared.source, prepared.source.codes[number])
        encoder, by_position = _encoder(selection, origins, advance)
        groups["encoder", group.period, group.symbol] = encoder
        groups["decoder", group.period, group.symbol] = _decoder(selection, origins)
        groups["static", group.period, group.symbol] = _static(selection, origins.size)
        before = [positions[group.period]] if group.period in positions else []
        positions[group.period] = merge([*before, by_position])
    names = {part: network.gate_names(part) for part in PARTS}
    return Gates(names, groups | dict(_together(groups)), positions)


@dataclass(frozen=True, slots=True)
class _Selection:
    """The variable selections of a network for the rows of one group."""

    network: ForecastNetwork
    source: WindowSource
    codes: torch.Tensor

    def rows(self, numbers: Rows) -> Array:
        """Encoder weights of rows, (N, V)."""
        return self._of("encoder", self.source.rows(torch.from_numpy(numbers)))

    def ahead(self, origins: Rows) -> Array:
        """Decoder weights of origins, (N, V)."""
        return self._of("decoder", self.source.ahead(torch.from_numpy(origins)))

    def static(self) -> Array:
        """Static weights, (1, V)."""
        return self._of("static", torch.empty(1, 0))

    def _of(self, part: Part, reals: torch.Tensor) -> Array:
        with torch.inference_mode():
            return self.network.gates(part, self.codes, reals).double().numpy()


def _encoder(selection: _Selection, origins: Rows, advance: Callable[[int], None]) -> tuple[Moments, Moments]:
    """Of the origins' means over their windows (V,), and position by position (E, V)."""
    length = selection.source.encoder_length
    means: list[Moments] = []
    positions: list[Moments] = []
    for run in np.split(origins, np.flatnonzero(np.diff(origins) >= length) + 1):
        tally = _PositionTally()
        for seen, weights, earlier in _chunks(selection, run, length):
            tally.add(seen, weights)
            ends = np.flatnonzero(seen[:, 0])
            if ends.size:
                means.append(moments(_window_means(np.concatenate([earlier, weights]), ends, length)))
                advance(ends.size)
        positions.append(tally.moments(run.size))
    return merge(means), merge(positions)


def _chunks(selection: _Selection, run: Rows, length: int) -> Iterator[tuple[npt.NDArray[np.bool_], Array, Array]]:
    """The rows that windows of a run of origins hold, each of them held by some window, a chunk at a time.

    seen (N, E): whether the row `j` bars later is an origin; weights (N, V); and those of the E - 1 rows before.
    """
    first = int(run[0]) + 1 - length
    seen = _seen_from(run - first, length)
    earlier: Array | None = None
    for start in range(0, len(seen), _CHUNK):
        chunk = seen[start : start + _CHUNK]
        weights = selection.rows(np.arange(first + start, first + start + len(chunk)))
        if earlier is None:  # nothing is summed over these: no origin has fewer rows before it
            earlier = np.zeros((length - 1, weights.shape[1]))
        yield chunk, weights, earlier
        rows = np.concatenate([earlier, weights])
        earlier = rows[len(rows) + 1 - length :]


def _seen_from(places: Rows, length: int) -> npt.NDArray[np.bool_]:
    """(N, E) of rows 0 to the last place: is the row `j` further a place?"""
    marks = np.zeros(int(places[-1]) + length, bool)
    marks[places] = True
    return np.lib.stride_tricks.sliding_window_view(marks, length)


def _window_means(rows: Array, ends: Rows, length: int) -> Array:
    """Means of the windows that end `length` - 1 rows after these places."""
    sums = np.concatenate([np.zeros((1, rows.shape[1])), rows.cumsum(axis=0)])
    return (sums[ends + length] - sums[ends]) / length


class _PositionTally:
    """Sums over the origins of a run, for each position; around the first chunk's mean, so that squares stay exact."""

    def __init__(self) -> None:
        self._around: Array | None = None
        self._sums: tuple[Array, Array] | None = None

    def add(self, seen: npt.NDArray[np.bool_], weights: Array) -> None:
        """Weights (N, V) of rows, each once for every window that holds it: `seen` (N, E)."""
        if self._around is None:
            self._around = weights.mean(axis=0)
            self._sums = np.zeros((seen.shape[1], weights.shape[1])), np.zeros((seen.shape[1], weights.shape[1]))
        held, apart = seen.T.astype(np.float64), weights - self._around
        assert self._sums is not None
        self._sums[0][...] += held @ apart
        self._sums[1][...] += held @ apart**2

    def moments(self, origins: int) -> Moments:
        """(E, V), the origin's own row last."""
        assert self._around is not None and self._sums is not None
        total, squares = (array[::-1] for array in self._sums)
        mean = total / origins
        return Moments(origins, self._around + mean, np.maximum(squares - origins * mean**2, 0.0))


def _decoder(selection: _Selection, origins: Rows) -> Moments:
    chunks = [origins[start : start + _CHUNK] for start in range(0, origins.size, _CHUNK)]
    return merge([moments(selection.ahead(chunk)) for chunk in chunks])


def _static(selection: _Selection, origins: int) -> Moments:
    """The same for every origin of a group."""
    weights = selection.static()[0]
    return Moments(origins, weights, np.zeros_like(weights))


def _together(groups: Mapping[tuple[Part, str, str], Moments]) -> Iterator[tuple[tuple[Part, str, str], Moments]]:
    """Of all symbols of a part and period."""
    for part, period in dict.fromkeys((part, period) for part, period, _ in groups):
        yield (part, period, ALL_SYMBOLS), merge([found for key, found in groups.items() if key[:2] == (part, period)])
