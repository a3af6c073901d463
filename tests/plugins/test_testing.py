"""Each check finds its planted fault and only that; every built-in passes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted_records as planted
import pytest
import typer
from planted_records import checks_of

from tftctl import testing
from tftctl.core.errors import PluginError
from tftctl.core.records import Params
from tftctl.core.workspace import Workspace
from tftctl.plugins import HOOKS, load_registry

BUILT_IN = [
    (word, name)
    for word in HOOKS.values()
    for name, found in sorted(load_registry().provided[word].items())
    if found.plugin.startswith("builtins.")
]


@pytest.mark.parametrize(("word", "name"), BUILT_IN)
def test_built_in_passes(word: str, name: str) -> None:
    record = load_registry().find(word, name).record
    assert [str(finding) for finding in getattr(testing, f"check_{word}")(record)] == []


def test_malformed_records() -> None:
    assert checks_of(testing.check_indicator(planted.indicator(planted.over_three, name="Class"))) == {"record"}
    assert checks_of(testing.check_target("no target")) == {"record"}  # type: ignore[arg-type]
    assert checks_of(testing.check_loss(planted.loss(None, kinds=()))) == {"record"}
    assert checks_of(testing.check_metric(planted.metric(None, no_skill=2.0))) == {"record"}
    assert checks_of(testing.check_source(planted.source(provides="tea"))) == {"record"}


def squared(raw: Any, target: Any) -> Any:
    return (raw[:, 0] - target) ** 2


class Growing:
    """A loss that is larger each time."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, raw: Any, target: Any) -> Any:
        self.calls += 1
        return squared(raw, target) * self.calls


def cross_entropy(raw: Any, target: Any, weight: Any = None) -> Any:
    from torch.nn.functional import logsigmoid

    positive = target * logsigmoid(raw[:, 0])
    return -((positive if weight is None else weight * positive) + (1 - target) * logsigmoid(-raw[:, 0]))


def weighted_everywhere(raw: Any, target: Any, weight: Any) -> Any:
    return cross_entropy(raw, target) * (1.0 if weight is None else weight)


def naive_cross_entropy(raw: Any, target: Any) -> Any:
    share = raw[:, 0].sigmoid()
    return -(target * share.log() + (1 - target) * (1 - share).log())


@pytest.mark.parametrize(
    ("check", "record"),
    [
        ("shape", planted.loss(lambda raw, target: squared(raw, target).mean())),
        ("shape", planted.loss(lambda raw, target: (raw - target) ** 2)),
        ("shape", planted.loss(squared, point=lambda raw: raw)),
        ("finite", planted.loss(naive_cross_entropy, kinds=("binary",))),
        ("finite", planted.loss(lambda raw, target: squared(raw, target).sqrt() + (0 * raw[:, 0]).sqrt())),
        ("rows", planted.loss(lambda raw, target: squared(raw, target) / squared(raw, target).sum())),
        ("pure", planted.loss(lambda raw, target: squared(raw, target.mul_(0.5)))),
        ("pure", planted.loss(lambda raw, target: squared(raw.mul_(0.5), target))),
        ("pure", planted.loss(Growing())),
        ("descent", planted.loss(lambda raw, target: -squared(raw, target))),
        ("descent", planted.loss(lambda raw, target: (raw[:, 0] + target) ** 2)),
        ("pos_weight", planted.loss(cross_entropy, kinds=("binary",))),
        ("pos_weight", planted.loss(weighted_everywhere, kinds=("binary",), weighted=True)),
        ("factory", planted.loss(squared, factory="tftctl.builtins.nowhere:Nothing")),
        ("factory", planted.loss(squared, factory=lambda: squared)),
    ],
)
def test_loss_fault(check: str, record: Any) -> None:
    assert checks_of(testing.check_loss(record)) == {check}


def levels_of(*levels: float) -> Any:
    return lambda options: levels


def planted_quantiles(quantiles: Any, levels: Any = (0.2, 0.8)) -> Any:
    return planted.loss(squared, quantiles=quantiles, levels=levels_of(*levels))


@pytest.mark.parametrize(
    ("check", "record"),
    [
        ("quantiles", planted_quantiles(lambda raw: raw[:, :1])),
        ("quantiles", planted_quantiles(lambda raw: raw[:, [0, 0]] * raw.new_tensor([1.0, 2.0]))),
        ("quantiles", planted_quantiles(lambda raw: raw[:, [0, 0]].log())),
        ("quantiles", planted_quantiles(lambda raw: raw[:, [0, 0]] + raw.new_tensor([0.0, -1.0]))),
        ("factory", planted_quantiles(lambda raw: raw[:, [0, 0]], levels=(0.8, 0.2))),
        ("factory", planted_quantiles(lambda raw: raw[:, [0, 0]], levels=(0.0, 0.5))),
        ("factory", planted.loss(squared, levels=levels_of(0.2, 0.8))),
        ("factory", planted.loss(cross_entropy, kinds=("binary",), weighted=True, levels=levels_of(0.5))),
        ("record", planted.loss(squared, levels=(0.2, 0.8))),
        ("record", planted.loss(squared, likelihood="yes")),
    ],
)
def test_loss_with_levels_fault(check: str, record: Any) -> None:
    assert checks_of(testing.check_loss(record)) == {check}


def test_sound_loss_passes() -> None:
    band = planted_quantiles(lambda raw: raw[:, [0, 0]] + raw.new_tensor([-1.0, 1.0]))
    assert testing.check_loss(band) == []
    assert testing.check_loss(planted.loss(squared)) == []
    assert testing.check_loss(planted.loss(cross_entropy, kinds=("binary",), weighted=True)) == []


@pytest.mark.parametrize(
    ("check", "record"),
    [
        ("best", planted.metric(lambda scored: 0.5)),
        ("best", planted.metric(planted.hits, direction="lower")),
        ("best", planted.metric(lambda scored: -abs(scored.prediction).mean(), upper=None, lower=-math.inf)),
        ("range", planted.metric(lambda scored: 2 * planted.hits(scored))),
        ("range", planted.metric(lambda scored: math.nan)),
        ("range", planted.metric(lambda scored: "good")),
        ("range", planted.metric(lambda scored: float(np.corrcoef(scored.prediction, scored.truth)[0, 1]), lower=-1.0)),
        ("order", planted.metric(lambda scored: planted.hits(scored) if scored.prediction[0] < 0 else 1.0)),
        ("one_class", planted.metric(lambda scored: 1.0 / scored.truth.std())),
        ("factory", planted.metric(None, factory=lambda: 0.5)),
    ],
)
def test_metric_fault(check: str, record: Any) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        assert check in checks_of(testing.check_metric(record))


def inside(scored: Any) -> float:
    return float(((scored.truth >= scored.quantiles[:, 0]) & (scored.truth <= scored.quantiles[:, -1])).mean())


def nominal(score: Any, **changes: Any) -> Any:
    return planted.metric(score, **({"direction": "nominal", "needs_levels": True} | changes))


@pytest.mark.parametrize(
    ("check", "record"),
    [
        ("best", nominal(lambda scored: 1 - inside(scored))),
        ("best", nominal(lambda scored: scored.levels[-1] - scored.levels[0])),
        ("record", nominal(inside, needs_levels=False)),
        ("record", nominal(inside, direction="middle")),
        ("order", nominal(lambda scored: float((scored.truth <= scored.quantiles[:, -1])[:99].mean()))),
    ],
)
def test_nominal_metric_fault(check: str, record: Any) -> None:
    assert check in checks_of(testing.check_metric(record))


def test_sound_metric_passes() -> None:
    assert testing.check_metric(nominal(inside)) == []
    assert testing.check_metric(planted.metric(planted.hits)) == []


def test_sound_sources_pass() -> None:
    assert testing.check_source(planted.source(planted.daily(), planted.daily("B"))) == []
    assert testing.check_source(planted.source(planted.daily(tide=[0.1, 0.2, 0.3], extras={"tide": "free"}))) == []


def test_a_source_is_not_read_to_its_end() -> None:
    def endless(params: Params) -> Any:
        for number in range(10**9):
            assert number < 10, "nobody asked for so many frames"
            yield planted.daily(f"S{number}")

    assert testing.check_source(planted.source(fetch=endless)) == []


@pytest.mark.parametrize(
    ("check", "record"),
    [
        ("fetch", planted.source()),
        ("fetch", planted.source(planted.bars())),
        ("fetch", planted.source(planted.daily(), planted.daily())),
        ("columns", planted.source(planted.daily(period="1 day"))),
        ("columns", planted.source(planted.daily(volume=["1", "2", "3"]))),
        ("columns", planted.source(planted.daily(tide=[0.1, 0.2, 0.3]))),
        ("columns", planted.source(planted.daily(extras={"tide": "free"}))),
        ("columns", planted.source(planted.daily(), planted=("tide",))),
        ("columns", planted.source(planted.daily(), provides="macro")),
        ("time", planted.source(planted.daily(timestamp=[0, 2, 1]))),
        ("time", planted.source(planted.daily(timestamp=[0, 1, 1]))),
        ("time", planted.source(planted.daily(timestamp=[0.0, 1.0, 2.0]))),
        ("bars", planted.source(planted.daily(high=[2.0, 2.4, 4.0]))),
        ("bars", planted.source(planted.daily(low=[0.5, 2.2, 2.5]))),
        ("bars", planted.source(planted.daily(close=[1.5, None, 3.5]))),
        ("bars", planted.source(planted.daily(volume=[1.0, -1.0, 1.0]))),
        ("bars", planted.source(planted.daily(volume=[1.0, math.nan, 1.0]))),
        ("bars", planted.source(planted.daily(timestamp=[0, 86_400, 172_800]))),  # seconds
        ("bars", planted.source(planted.daily(timestamp=[5, 86_400_005, 172_800_005]))),
        (
            "bars",
            planted.source(
                planted.daily(timestamp=[2**42 // 86_400_000 * 86_400_000 + day * 86_400_000 for day in range(3)])
            ),
        ),  # the year 2109
        ("bars", planted.source(planted.daily(tide=[0.1, math.inf, 0.3], extras={"tide": "free"}))),
        ("columns", planted.source(planted.daily("btc/usdt"))),
        ("columns", planted.source(replace(planted.daily(), calendar="NOWHERE"))),
        ("columns", planted.source(replace(planted.daily(), basis="adjusted"))),  # type: ignore[arg-type]
    ],
)
def test_source_fault(check: str, record: Any) -> None:
    assert checks_of(testing.check_source(record)) == {check}


def test_commands() -> None:
    silent = typer.Typer()
    silent.command()(lambda: None)
    assert testing.check_command("silent", silent) == []
    assert checks_of(testing.check_command("Not Silent", silent)) == {"record"}
    assert checks_of(testing.check_command("silent", print)) == {"record"}
    assert checks_of(testing.check_command("empty", typer.Typer())) == {"build"}


def test_a_score_that_is_an_array_is_shown_short() -> None:
    findings = testing.check_metric(planted.metric(lambda scored: scored.prediction))
    assert "array" in findings[0].detail
    assert max(len(finding.detail) for finding in findings) < 200


def test_findings_are_one_line() -> None:
    finding = testing.Finding("loss planted", "shape", "one\n  two")
    assert str(finding) == "loss planted: shape: one two"


def test_named_unknown() -> None:
    with pytest.raises(PluginError) as caught:
        testing.check_named("builtins.lossess")
    assert "did you mean 'builtins.losses'?" in caught.value.hint


def test_named_built_in() -> None:
    report = testing.check_named("builtins.losses")
    names = "bce focal mse mae smooth_l1 huber log_cosh quantile gaussian student_t"
    assert report.checked == tuple(f"loss {name}" for name in names.split())
    assert report.findings == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def broken(:\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("x = 1\n", "no tftctl hook"),
    ],
)
def test_broken_file(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(PluginError, match="is broken") as caught:
        testing.check_named(str(path))
    assert reason in caught.value.message
    with pytest.warns(UserWarning, match="plugin mine"), pytest.raises(PluginError, match="plugin mine is broken"):
        testing.check_named("mine", Workspace(tmp_path, (path,)))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="does not exist"):
        testing.check_named(str(tmp_path / "none.py"))
