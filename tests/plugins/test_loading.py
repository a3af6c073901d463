"""Broken plugins, conflicts, and the single-file plugins of a workspace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tftctl import testing
from tftctl.core.errors import PluginError, TftctlWarning
from tftctl.core.registry import PluginInfo, Registry, describe
from tftctl.core.workspace import Workspace, open_workspace
from tftctl.plugins import load_registry

METRIC = """
from tftctl.api import Metric, hookimpl

@hookimpl
def tftctl_metrics():
    yield Metric(name={name!r}, summary="share of right signs", kinds=("regression",), direction="higher",
                 lower=0.0, upper=1.0, no_skill=0.5,
                 factory=lambda: lambda scored: float((scored.prediction * scored.truth > 0).mean()))
"""
COMMAND = """
import typer
from tftctl.api import hookimpl

mine = typer.Typer(help="Mine.")

@mine.command()
def run() -> None:
    typer.echo("mine ran")

@hookimpl
def tftctl_commands():
    yield {name!r}, mine
"""


def workspace_of(folder: Path, **files: str) -> Workspace:
    """A workspace that lists these files in its tftctl.toml, in that order."""
    (folder / "plugins").mkdir()
    for name, text in files.items():
        (folder / "plugins" / f"{name}.py").write_text(text)
    listed = [f"plugins/{name}.py" for name in files]
    (folder / "tftctl.toml").write_text(f"plugins = {json.dumps(listed)}\n")
    return open_workspace(folder)


def row(registry: Registry, name: str) -> PluginInfo:
    (info,) = [info for info in registry.plugins if info.name == name]
    return info


def tftctl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tftctl", *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=120)


def test_single_file_plugin(tmp_path: Path) -> None:
    registry = load_registry(workspace_of(tmp_path, mine=METRIC.format(name="sign_share")))
    info = row(registry, "mine")
    assert (info.status, info.version, info.provides) == ("ok", "file", ["metric sign_share"])
    assert registry.metric("sign_share").summary == "share of right signs"


def test_a_file_that_is_not_listed_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = workspace_of(tmp_path)
    (tmp_path / "plugins" / "mine.py").write_text(METRIC.format(name="sign_share"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match="there is no metric 'sign_share'"):
        load_registry(workspace).metric("sign_share")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("x = 1", "it has no tftctl hook"),
        (METRIC.format(name="Sign Share"), "use lower-case letters"),
        (METRIC.format(name="a").replace("tftctl_metrics", "tftctl_metric"), "unknown hook 'tftctl_metric'"),
        (METRIC.format(name="a").replace("yield Metric", "1 / 0; yield Metric"), "tftctl_metrics failed: ZeroDivision"),
        (METRIC.format(name="a").replace("yield Metric", "yield dict"), "a dict was given, not a Metric"),
    ],
)
def test_broken_plugin_is_a_warning_and_a_row(tmp_path: Path, text: str, reason: str) -> None:
    workspace = workspace_of(tmp_path, bad=text, good=METRIC.format(name="sign_share"))
    with pytest.warns(TftctlWarning, match="plugin bad"):
        registry = load_registry(workspace)
    info = row(registry, "bad")
    assert (info.status, info.provides) == ("broken", [])
    assert reason in (info.error or "")
    assert "\n" not in (info.error or "")
    assert registry.metric("sign_share").name == "sign_share"


INDICATOR = """
from tftctl.api import CrossSectionParams, Indicator, Output, hookimpl

@hookimpl
def tftctl_indicators():
    yield Indicator(**(dict(name="mine", summary="x", inputs=lambda p: ("close",), outputs=(Output("mine"),),
                            kernel=lambda columns, params: {{"mine": columns["close"]}}) | dict({fields})))
"""
TARGET = """
from tftctl.api import Target, hookimpl

@hookimpl
def tftctl_targets():
    yield Target(**(dict(name="target_mine", summary="x", kind="regression", horizon={{"*": 1}}, inputs=("close",),
                         unit="u", kernel=lambda columns, params, span: columns["close"]) | dict({fields})))
"""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("settle=lambda p: -2", "settle(params) returns -2"),
        ("settle=lambda p: 'x'", "settle(params) returns 'x'"),
        ("first_valid=lambda p: 1.5", "first_valid(params) returns 1.5"),
        ("first_valid=3", "defaults do not work"),
        ("outputs=(Output('mine', settle=3),)", "settle of 'mine' must be a function"),
        ("outputs=(Output('mine', first_valid=lambda p: -1),)", "first_valid of 'mine' must be a function"),
        ("tolerance=0.5", "tolerance is 0.5"),
        ("tolerance='x'", "tolerance is 'x'"),
        ("revision=None", "revision is None"),
        ("known=3", "known is 3"),
        ("scope='everything'", "scope is 'everything'"),
        ("outputs=3, kernel=None", "outputs must be a non-empty tuple"),
    ],
)
def test_fields_of_an_indicator(tmp_path: Path, fields: str, reason: str) -> None:
    with pytest.warns(TftctlWarning, match="plugin bad"):
        info = row(load_registry(workspace_of(tmp_path, bad=INDICATOR.format(fields=fields))), "bad")
    assert info.status == "broken"
    assert reason in (info.error or "")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("yardstick=None", "yardstick must be a function"),
        ("tail='long'", "tail is 'long'"),
        ("loss=3", "loss is 3"),
        ("horizon={'7q': 1}", "horizon must map periods"),
        ("horizon={'60m': 1}", "horizon must map periods"),
        ("horizon={1: 1}", "horizon must map periods"),
        ("horizon={'*': True}", "horizon must map periods"),
        ("revision=0", "revision is 0"),
    ],
)
def test_fields_of_a_target(tmp_path: Path, fields: str, reason: str) -> None:
    with pytest.warns(TftctlWarning, match="plugin bad"):
        info = row(load_registry(workspace_of(tmp_path, bad=TARGET.format(fields=fields))), "bad")
    assert reason in (info.error or "")


def test_every_parameter_of_a_source_needs_a_default(tmp_path: Path) -> None:
    text = """
from tftctl.api import Params, Source, hookimpl

class Size(Params):
    bars: int

@hookimpl
def tftctl_sources():
    yield Source(name="mine", summary="x", provides="bars", fetch=lambda params: iter(()), params=Size)
"""
    with pytest.warns(TftctlWarning):
        error = row(load_registry(workspace_of(tmp_path, bad=text)), "bad").error
    assert error == "source 'mine': its defaults do not work: bars: Field required"


def test_a_field_of_an_unexpected_type_does_not_hide_the_others(tmp_path: Path) -> None:
    text = METRIC.format(name="Sign Share").replace("lower=0.0", 'lower="a"')
    with pytest.warns(TftctlWarning):
        error = row(load_registry(workspace_of(tmp_path, bad=text)), "bad").error or ""
    assert "lower, upper and no_skill are 'a'" in error
    assert "use lower-case letters" in error


def test_an_unknown_hook_names_the_nearest(tmp_path: Path) -> None:
    text = METRIC.format(name="a").replace("tftctl_metrics", "tftctl_metric")
    with pytest.warns(TftctlWarning, match="did you mean 'tftctl_metrics'"):
        load_registry(workspace_of(tmp_path, bad=text))


def test_what_a_plugin_prints_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = METRIC.format(name="sign_share").replace("    yield", "    print('in the hook')\n    yield")
    load_registry(workspace_of(tmp_path, loud=f"print('at import')\n{text}"))
    out, err = capsys.readouterr()
    assert (out, "at import" in err, "in the hook" in err) == ("", True, True)


def test_three_plugins_with_one_name_are_counted(tmp_path: Path) -> None:
    files = {name: METRIC.format(name="sign_share") for name in ("one", "two", "three")}
    with pytest.warns(TftctlWarning):
        registry = load_registry(workspace_of(tmp_path, **files))
    with pytest.raises(PluginError, match="comes from 3 plugins: one, three and two"):
        registry.metric("sign_share")


def test_checking_a_file_finds_what_is_taken(tmp_path: Path) -> None:
    """Also when the workspace lists the file already: it does not clash with itself."""
    taken = METRIC.format(name="rmse")
    workspace = workspace_of(tmp_path, free=METRIC.format(name="sign_share"), taken=taken)
    clash = testing.check_named(str(tmp_path / "plugins" / "taken.py"), workspace).findings[0]
    assert (clash.check, "builtins.metrics and taken" in clash.detail) == ("conflict", True)
    assert testing.check_named(str(tmp_path / "plugins" / "free.py"), workspace).findings == ()
    assert testing.check_named(str(tmp_path / "plugins" / "free.py")).findings == ()


def test_checking_one_record_by_its_name() -> None:
    assert testing.check_named("rsi").checked == ("indicator rsi",)


def test_checking_a_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="is a folder") as caught:
        testing.check_named(str(tmp_path))
    assert "install" in caught.value.hint


def test_missing_file_is_a_broken_plugin(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, gone="")
    (tmp_path / "plugins" / "gone.py").unlink()
    with pytest.warns(TftctlWarning, match="does not exist"):
        assert row(load_registry(workspace), "gone").status == "broken"


def test_a_missing_record_names_the_broken_plugin(tmp_path: Path) -> None:
    with pytest.warns(TftctlWarning):
        registry = load_registry(workspace_of(tmp_path, bad="import nowhere_at_all"))
    with pytest.raises(PluginError) as caught:
        registry.indicator("supertrend_of_bad")
    assert "a broken plugin may hold it: bad" in caught.value.hint


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_one_name_from_two_plugins(tmp_path: Path, order: tuple[str, str]) -> None:
    text = METRIC.format(name="sign_share")
    with pytest.warns(TftctlWarning, match="comes from two plugins"):
        registry = load_registry(workspace_of(tmp_path, **dict.fromkeys(order, text)))
    assert {row(registry, name).status for name in order} == {"conflict"}
    with pytest.raises(PluginError, match="metric 'sign_share' comes from two plugins: one and two"):
        registry.metric("sign_share")


def test_a_built_in_name_is_taken(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, mine=METRIC.format(name="rmse"))
    with pytest.warns(TftctlWarning):
        registry = load_registry(workspace)
    with pytest.raises(PluginError, match=r"metric 'rmse' comes from two plugins: builtins\.metrics and mine"):
        registry.metric("rmse")
    assert registry.metric("mae").name == "mae"
    assert [finding.check for finding in testing.check_named("mine", workspace).findings] == ["conflict"]


def test_a_reserved_command_is_refused(tmp_path: Path) -> None:
    with pytest.warns(TftctlWarning, match="command 'train' comes from two plugins"):
        registry = load_registry(workspace_of(tmp_path, mine=COMMAND.format(name="train")))
    assert "train" not in registry.commands


def test_command_line(tmp_path: Path) -> None:
    """A broken plugin does not stop another one's command, nor the list; one command alone is a group, too."""
    workspace_of(tmp_path, bad="import nowhere_at_all", mine=COMMAND.format(name="mine"))
    ran = tftctl(tmp_path, "mine", "run")
    assert (ran.returncode, ran.stdout) == (0, "mine ran\n")
    assert "warning: plugin bad" in ran.stderr
    rows: list[dict[str, Any]] = json.loads(tftctl(tmp_path, "plugins", "list", "--json").stdout)
    assert {info["name"]: info["status"] for info in rows if info["version"] == "file"} == {
        "bad": "broken",
        "mine": "ok",
    }
    failed = tftctl(tmp_path, "plugins", "check", "bad", "--json")
    assert failed.returncode == 4
    assert "plugin bad is broken" in json.loads(failed.stdout)["error"]["message"]


def test_check_on_the_command_line_fails_with_findings(tmp_path: Path) -> None:
    (tmp_path / "worse.py").write_text(METRIC.format(name="sign_share").replace("> 0", "< 0"))
    failed = tftctl(tmp_path, "plugins", "check", "worse.py")
    assert failed.returncode == 4
    assert failed.stdout.splitlines()[0] == "FAIL: worse.py, 1 record"
    assert "metric sign_share: best: the perfect forecast scores 0, not 1" in failed.stdout
    found = json.loads(tftctl(tmp_path, "plugins", "check", "worse.py", "--json").stdout)
    assert (found["verdict"], found["checked"]) == ("FAIL", ["metric sign_share"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("icir", {"kinds": ["regression"], "direction": "higher", "lower": None, "upper": None}),
        ("coverage", {"kinds": ["regression"], "direction": "nominal", "lower": 0.0, "upper": 1.0}),
        ("brier", {"kinds": ["binary"], "direction": "lower", "lower": 0.0, "upper": 1.0}),
        ("quantile", {"kinds": ["regression"]}),
    ],
)
def test_a_metric_is_shown_with_its_better_end_and_range(name: str, told: dict[str, Any]) -> None:
    (record,) = describe(load_registry(), name)["records"]
    assert told.items() <= record.items()
    json.dumps(record, allow_nan=False)
