"""The command line as a user meets it: what `--help` costs, what errors look like, that the README's table is true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from forked import run

from tftctl.core.workspace import Workspace

HEAVY = (
    "torch",
    "lightning",
    "polars",
    "duckdb",
    "pyarrow",
    "pandas",
    "sklearn",
    "numba",
    "matplotlib",
    "lightgbm",
    "optuna",
)
README = Path(__file__).resolve().parents[2] / "README.md"
COMMANDS = [
    command
    for group, names in re.findall(r"^\| (\w+) \| (`.*`) \|$", README.read_text(), re.MULTILINE)
    for text in re.findall(r"`([^`]+)`", names)
    for command in ([f"{text.split()[0]} {name}" for name in text.split()[1].split("/")] if " " in text else [text])
]


def tftctl(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run(arguments, cwd=cwd)


def document(*arguments: str, code: int = 0) -> dict:
    done = tftctl(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


GROUPS = ["config", "data", "macro", "features", "store", "select", "audit", "runs", "plugins"]


def test_help_imports_nothing_heavy() -> None:
    """Of commands, of groups, and of all: one after the other, so that the first that does is named."""
    asked = [["train", "--help"], ["features", "build", "--help"], *([name, "--help"] for name in GROUPS), ["--help"]]
    code = (
        "import sys\nfrom tftctl.cli.app import main\n"
        f"for arguments in {asked!r}:\n"
        "    try:\n        main(arguments)\n    except SystemExit as stop:\n        assert not stop.code, stop.code\n"
        f"    print('HEAVY', arguments, sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    told = [line for line in done.stdout.splitlines() if line.startswith("HEAVY")]
    assert told == [f"HEAVY {arguments} []" for arguments in asked], done.stderr


def test_the_readme_lists_the_commands_that_there_are() -> None:
    from typer.main import get_command

    from tftctl.cli.app import app

    root = get_command(app)
    built_in = super(type(root), root).list_commands(None)  # type: ignore[misc]
    there = []
    for name in built_in:
        command = root.commands[name]
        inside = getattr(command, "commands", None)
        there += [f"{name} {sub}" for sub in inside] if inside else [name]
    assert sorted(COMMANDS) == sorted(there)


def test_help_lists_commands_in_the_order_of_the_readme() -> None:
    shown = tftctl("-h").stdout
    names = list(dict.fromkeys(command.split()[0] for command in COMMANDS))
    places = [re.search(rf"^│ {name} ", shown, re.MULTILINE) for name in names]
    assert all(places)
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command: str) -> None:
    from typer.testing import CliRunner

    from tftctl.cli.app import app

    shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "--json" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["trian"], 2, "train"),
        (["data", "import"], 2, "PATH"),
        (["train", "--max-steps", "none"], 2, "'--max-steps'"),
        (["-w", "/nowhere/at/all", "data", "list"], 2, "init"),
        (["data", "list", "-w", "."], 2, "tftctl -w DIR data list"),
        (["--jsn", "data", "list"], 2, "--help"),
        (["eval", "--split", "tset"], 2, "'tset' is not one of 'val', 'test'"),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_says_what_next(
    arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    done = tftctl(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_under_json_are_one_document(tmp_path: Path) -> None:
    done = tftctl("data", "list", "--json", cwd=tmp_path)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == 2
    assert error["message"] and error["hint"]


def test_json_before_the_command_is_told_its_place(tmp_path: Path) -> None:
    done = tftctl("--json", "data", "list", cwd=tmp_path)
    assert done.returncode == 2
    assert "after the command" in json.loads(done.stdout)["error"]["hint"]


PLUGIN = """
import typer
from tftctl.api import hookimpl

print("printed while it is imported")
mine, broken = typer.Typer(), typer.Typer()

@mine.command()
def stop(json: bool = False) -> None:
    raise KeyboardInterrupt

@hookimpl
def tftctl_commands():
    yield "mine", mine
    yield "nothing-in-it", broken
"""


@pytest.fixture
def with_plugin(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "tftctl.toml").write_text('plugins = ["mine.py"]\n')
    return tmp_path


def test_what_a_plugin_prints_is_not_in_the_json(with_plugin: Path) -> None:
    done = tftctl("plugins", "list", "--json", cwd=with_plugin)
    assert "mine" in [row["name"] for row in json.loads(done.stdout)]
    assert "printed while" in done.stderr


def test_help_survives_the_commands_of_plugins(with_plugin: Path) -> None:
    done = tftctl("--help", cwd=with_plugin)
    assert (done.returncode, "│ mine" in done.stdout) == (0, True)


def test_an_interrupt_is_130_and_one_document(with_plugin: Path) -> None:
    done = tftctl("mine", "stop", "--json", cwd=with_plugin)
    assert done.returncode == 130
    assert json.loads(done.stdout)["error"]["message"] == "interrupted"
    assert done.stderr.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), ("> /dev/full", 3), (">&- 2>&-", 0)])
@pytest.mark.parametrize("flag", ["", "--json"])
def test_streams_that_are_closed_or_full(tmp_path: Path, redirection: str, code: int, flag: str) -> None:
    (tmp_path / "tftctl.toml").write_text("")
    command = f"{sys.executable} -m tftctl plugins list {flag} {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_init_twice_keeps_what_is_there(tmp_path: Path) -> None:
    root = tmp_path / "market"
    first = document("init", str(root))
    (root / "configs" / "features.yaml").write_text("periods: [1h]\n")
    second = document("init", str(root))
    assert set(second["kept"]) == set(first["created"])
    assert (root / "configs" / "features.yaml").read_text() == "periods: [1h]\n"
    assert document("-w", str(root), "config", "show", "features")["periods"] == ["1h"]


def test_init_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert document("init", str(tmp_path / "file"), code=3)["error"]["code"] == 3


def test_the_default_configuration_is_valid_and_opens_with_its_command(tmp_path: Path) -> None:
    document("init", str(tmp_path))
    found = document("-w", str(tmp_path), "config", "validate")
    assert found["problems"] == []
    assert len(found["files"]) == 5
    for path in (tmp_path / "configs").glob("*.yaml"):
        assert path.read_text().startswith("# tftctl ")


def test_the_repository_is_a_workspace_with_the_default_configuration() -> None:
    from tftctl.start.scaffold import TEMPLATES, template

    for name in TEMPLATES:
        assert (README.parent / "configs" / name).read_text() == template(name)


def test_the_configuration_of_the_quickstart_is_valid(tmp_path: Path) -> None:
    from tftctl.start.quickstart import CONFIG
    from tftctl.start.scaffold import template

    document("init", str(tmp_path))
    path = tmp_path / "configs" / CONFIG
    path.write_text(template(CONFIG))
    assert document("-w", str(tmp_path), "config", "validate", str(path), "--as", "model")["problems"] == []
    assert "--as" in document("-w", str(tmp_path), "config", "validate", str(path), code=2)["error"]["hint"]


def test_every_shipped_yaml_is_one_that_a_test_validates() -> None:
    from tftctl.start.quickstart import CONFIG
    from tftctl.start.scaffold import TEMPLATES

    shipped = {path.name for path in (README.parent / "tftctl").rglob("*.y*ml")}
    assert shipped == {*TEMPLATES, CONFIG}


def test_wrong_names_are_shown_with_their_lines_beside_wrong_values(tmp_path: Path) -> None:
    document("init", str(tmp_path))
    config = tmp_path / "configs" / "features.yaml"
    config.write_text(
        "periods: [1h, 1x]\nindicators:\n  - {name: rsi, perid: 3}\n  - rsj\n  - 7\ntargets: [target_logretrn]\n"
    )
    found = document("-w", str(tmp_path), "config", "validate", str(config), code=2)["problems"]
    lines = {problem["key"]: problem["line"] for problem in found}
    assert lines == {"periods.1": 1, "indicators.0": 3, "indicators.1": 4, "indicators.2": 5, "targets.0": 6}
    texts = {problem["key"]: problem["given"] + problem["allowed"] for problem in found}
    assert "did you mean 'period'?" in texts["indicators.0"]
    assert "did you mean 'rsi'?" in texts["indicators.1"]
    assert "did you mean 'target_logreturn'?" in texts["targets.0"]


def test_an_unknown_calendar_is_a_problem(tmp_path: Path) -> None:
    document("init", str(tmp_path))
    (tmp_path / "configs" / "features.yaml").write_text('calendar: {"*": 24x7, AAPL: XNYSE, B: observed}\n')
    (problem,) = document("-w", str(tmp_path), "config", "validate", "--as", "features", code=2)["problems"]
    assert (problem["key"], problem["line"]) == ("calendar.AAPL", 1)
    assert "XNYS" in problem["allowed"]


def test_every_problem_of_a_configuration_is_shown_at_once(tmp_path: Path) -> None:
    document("init", str(tmp_path))
    config = tmp_path / "configs" / "features.yaml"
    config.write_text("periods: [1h, 1x]\nindicatros: [rsi]\nmax_stale: -1\n")
    done = tftctl("-w", str(tmp_path), "features", "build")
    assert done.returncode == 2
    for words in ("1x", "indicatros", "indicators", "max_stale", "features.yaml:2"):
        assert words in done.stderr
    assert len(document("-w", str(tmp_path), "config", "validate", code=2)["problems"]) == 3


def test_an_override_that_fits_no_key_is_refused(workspace: Workspace) -> None:
    document("init", str(workspace.root))
    error = document("-w", str(workspace.root), "config", "show", "model", "-o", "hiden_size=3", code=2)["error"]
    assert "hiden_size" in error["message"] and "hidden_size" in error["message"] + error["hint"]
    shown = document(
        "-w", str(workspace.root), "config", "show", "model", "-o", "lr=1e-4", "-o", "onecycle.pct_start=0.2"
    )
    assert (shown["lr"], shown["onecycle"]["pct_start"]) == (1e-4, 0.2)


@pytest.mark.parametrize("name", ["features", "model", "weights", "composite"])
def test_the_schema_names_every_key(name: str) -> None:
    assert document("config", "schema", name)["type"] == "object"


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a small synthetic market, and one indicator file of its own."""
    root = tmp_path_factory.mktemp("sampled")
    document("init", str(root))
    made = document("-w", str(root), "data", "sample", "synthetic", "-o", "symbols=2", "-o", "days=40")
    assert (made["symbols"], made["periods"]) == (["SYN01", "SYN02"], ["1h", "4h", "1d"])
    assert made["rows"] == 2 * 40 * (24 + 6 + 1)
    assert made["planted"] == [f"signal_{k}" for k in range(1, 6)]
    return root


def test_a_build_and_a_second_one(sampled: Path) -> None:
    first = document("-w", str(sampled), "features", "build")
    assert set(first) >= {"snapshot", "groups", "rows", "rows_computed", "features", "targets", "seconds"}
    assert (first["groups"], first["rows"], first["targets"]) == (6, 2480, 6)
    again = document("-w", str(sampled), "features", "build")
    assert (again["snapshot"], again["rows_computed"]) == (first["snapshot"], 0)


@pytest.mark.parametrize(
    "command", ["data list", "macro list", "features build", "store status", "audit time", "config validate"]
)
def test_a_command_of_each_group_begins_in_a_new_interpreter(sampled: Path, command: str) -> None:
    """Whatever it needs it imports itself; most other tests fork a process that has everything."""
    line = [sys.executable, "-m", "tftctl", "-w", str(sampled), *command.split(), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)


def test_features_are_listed_and_described(sampled: Path) -> None:
    listed = document("-w", str(sampled), "features", "list")
    by_name = {entry["name"]: entry for entry in listed if entry["kind"] == "indicator"}
    assert set(listed[0]) >= {"name", "kind", "plugin", "inputs", "outputs", "first_valid", "settle"}
    assert by_name["macd"]["outputs"] == ["macd", "macd_signal", "macd_hist"]
    described = document("-w", str(sampled), "features", "describe", "rsi__4h")
    assert [column["source"] for column in described["columns"]] == ["rsi"]
    assert "rsi" in document("-w", str(sampled), "features", "describe", "rsj", code=2)["error"]["hint"]


def test_a_missing_symbol_of_the_configuration_is_named(sampled: Path) -> None:
    error = document("-w", str(sampled), "features", "build", "-o", "symbols=[SYN01, NOPE]", code=3)["error"]
    assert "NOPE" in error["message"]


def test_symbols_that_look_like_numbers_are_names(sampled: Path) -> None:
    document("-w", str(sampled), "features", "build")
    error = document("-w", str(sampled), "train", "--symbols", "SYN01, 600000", "--periods", "1d", code=3)["error"]
    assert "no symbol '600000'" in error["message"]


def test_a_feature_named_like_an_attribute_is_refused(sampled: Path, tmp_path: Path) -> None:
    plugin = (
        "from tftctl.api import Indicator, Output, hookimpl\n"
        "import polars as pl\n"
        "@hookimpl\n"
        "def tftctl_indicators():\n"
        "    yield Indicator(name='train', summary='x', inputs=lambda p: ('close',), outputs=(Output('train'),),\n"
        "                    expr=lambda p: [{'train': pl.col('close')}])\n"
    )
    root = tmp_path / "w"
    document("init", str(root))
    (root / "mine.py").write_text(plugin)
    (root / "tftctl.toml").write_text('plugins = ["mine.py"]\n')
    listed = document("-w", str(root), "plugins", "list")
    (mine,) = [entry for entry in listed if entry["name"] == "mine"]
    assert mine["status"] == "broken"
    assert "train" in mine["error"] and "attribute" in mine["error"]
    error = document("-w", str(root), "features", "list", "-o", "indicators=[train]", code=2)["error"]
    assert "train" in error["message"]


def test_a_reader_that_goes_away_is_no_traceback(sampled: Path) -> None:
    command = f"{sys.executable} -m tftctl -w {sampled} store sql 'select * from bars' | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("symbol")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_training_without_features_says_what_to_do_first(tmp_path: Path) -> None:
    document("init", str(tmp_path))
    error = document("-w", str(tmp_path), "train", code=3)["error"]
    assert "data import" in error["hint"]
    document("-w", str(tmp_path), "data", "sample", "synthetic", "-o", "symbols=1", "-o", "days=12")
    assert "features build" in document("-w", str(tmp_path), "train", code=3)["error"]["hint"]
