"""`audit leakage`: its time, whether it finds every planted leak, and whether it is silent where there is none.

    python benchmarks/leakage.py time DATA/crypto       six symbols at 1h, 4h, 1d, the whole catalogue (a minute)
    python benchmarks/leakage.py many [--symbols 100] [--bars 20000]     symbols at 1h, the catalogue (minutes)
    python benchmarks/leakage.py zoo [--seeds 20]       planted leaks of tests/leakage_zoo.py (half a minute each)
    python benchmarks/leakage.py clean DATA             every file of DATA at every period (ten minutes)

All with the very settings of the command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builds import catalogue
from main_job import peak_mib
from markets import Walks, fill_store
from measure import machine

TESTS = Path(__file__).resolve().parents[1] / "tests"
WINDOWS = {"15m": 500, "1h": 500, "4h": 250, "1d": 120}
CONTEXT_FEATURES = ["rsi", "rolling_volatility", "macd_hist", "ema_distance", "log_return", "return_skewness"]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("time", time_six), ("clean", time_clean)):
        command = commands.add_parser(name)
        command.add_argument("data", type=Path)
        command.set_defaults(run=run)
    many = commands.add_parser("many")
    many.add_argument("--symbols", type=int, default=100)
    many.add_argument("--bars", type=int, default=20_000)
    many.set_defaults(run=time_many)
    zoo = commands.add_parser("zoo")
    zoo.add_argument("--seeds", type=int, default=20)
    zoo.set_defaults(run=count_zoo)
    arguments = parser.parse_args()
    print(machine())
    arguments.run(arguments)


def time_six(arguments: argparse.Namespace) -> None:
    """The main data, from import on."""
    with workspace(["1h", "4h", "1d"]) as root:
        command(root, "data", "import", *(str(arguments.data / period) for period in ("1h", "4h", "1d")))
        command(root, "features", "build")
        show("six symbols", audit(root))


def time_many(arguments: argparse.Namespace) -> None:
    """Synthetic symbols at 1h."""
    from tftctl.store import Store

    with workspace(["1h"]) as root:
        fill_store(Store(root / "store"), "1h", Walks(arguments.symbols, arguments.bars).frames())
        command(root, "features", "build")
        show(f"{arguments.symbols} symbols x {arguments.bars:,} bars", audit(root))


def time_clean(arguments: argparse.Namespace) -> None:
    """Every file that can be imported, in the markets that it belongs to: nothing may be found."""
    data = arguments.data
    crypto, stocks = data / "crypto", data / "stocks"
    dirty = sorted((data / "dirty").glob("*"))
    stock_files = [path for path in dirty if path.name.startswith("stock_")]
    families: list[tuple[str, list[str], list[Path], list[str], list[Path]]] = [
        ("crypto 1h 4h 1d", ["1h", "4h", "1d"], [crypto / p for p in ("1h", "4h", "1d")], [], []),
        ("crypto 15m 1h", ["15m", "1h"], [crypto / "15m", crypto / "1h" / "SOLUSDT.parquet"], [], []),
        ("stocks 1d", ["1d"], [stocks / "1d"], ["--calendar", "XNYS"], []),
        ("raw stocks 1d 1h with factors", ["1d", "1h"], [*sorted((stocks / "lean_raw_1d").glob("*.zip")),
         *sorted((stocks / "lean_raw_1h").glob("*.zip"))], ["--calendar", "XNYS"],
         [stocks / "lean_raw_1d" / "factor_files"]),
        ("dirty stocks", ["1d"], stock_files, ["--calendar", "XNYS", "--period", "1d"], []),
    ]  # fmt: skip
    families += [(path.name, ["1h", "1d"], [path], [], []) for path in dirty if path not in stock_files]
    for name, periods, files, options, factors in families:
        with workspace(periods) as root:
            adjust(root, bool(factors))
            if not command(root, "data", "import", *map(str, files), *options, must=False):
                print(f"{name}: nothing that can be imported")
                continue
            if factors:
                command(root, "data", "import", *map(str, factors), "--as", "factors")
            command(root, "features", "build")
            show(name, audit(root))


def count_zoo(arguments: argparse.Namespace) -> None:
    """Planted leaks found, sound columns accused, classes named, over seeds."""
    sys.path[:0] = [str(TESTS), str(TESTS / "unit" / "audit")]
    from leakage_zoo import specimens
    from test_leakage_zoo import audited

    from tftctl.core.workspace import Workspace

    total: Counter[str] = Counter()
    for seed in range(101, 101 + arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tftctl.toml").write_text("plugins = []\n")
            found = audited(Workspace(Path(folder)), seed, symbols=3, size=1800).findings
        failed = {finding.column: finding.kind for finding in found if finding.verdict == "FAIL"}
        drawn = {specimen.record.name: specimen for specimen in specimens(seed)}
        planted = [name for name, specimen in drawn.items() if specimen.kind]
        total["planted"] += len(planted)
        total["found"] += sum(name in failed for name in planted)
        total["plain"] += sum(drawn[name].is_plain for name in planted)
        total["class named"] += sum(drawn[n].is_plain and failed.get(n) == drawn[n].kind for n in planted)
        total["sound"] += len(drawn) - len(planted)
        total["accused"] += len({finding.column for finding in found} - set(planted))
        missed = [
            f"{n} ({drawn[n].record.summary}, {drawn[n].rate}, {drawn[n].size})" for n in planted if n not in failed
        ]
        print(f"seed {seed}: {dict(total)} missed: {missed or 'none'}", flush=True)


@contextmanager
def workspace(periods: Sequence[str]) -> Iterator[Path]:
    """A folder with the whole catalogue at some periods, removed afterwards."""
    from tftctl.plugins import load_registry
    from tftctl.start.scaffold import create_workspace

    registry = load_registry()
    names = [n for n in registry.names("indicator") if registry.find("indicator", n).plugin.startswith("builtins.")]
    others = [name for name in names if registry.indicator(name).scope != "group"]
    targets = [n for n in registry.names("target") if registry.find("target", n).plugin.startswith("builtins.")]
    shortest_first = [p for p in WINDOWS if p in periods]
    config = {
        "periods": shortest_first,
        "indicators": [*catalogue(), *others],
        "targets": targets,
        "context": {p: shortest_first[place + 1 :] for place, p in enumerate(shortest_first[:-1])},
        "context_features": CONTEXT_FEATURES,
        "normalise": {
            "zscore": {"window": WINDOWS, "columns": ["obv", "volume", "close"]},
            "minmax": {"window": WINDOWS, "columns": ["volume"]},
            "robust": {"window": WINDOWS, "columns": ["rsi"]},
        },
    }
    with tempfile.TemporaryDirectory(prefix="tftctl-bench-") as folder:
        root = Path(folder) / "workspace"
        create_workspace(root)
        (root / "configs" / "features.yaml").write_text(json.dumps(config))
        yield root


def adjust(root: Path, wanted: bool) -> None:
    """Prices adjusted for splits and dividends, where there are factors."""
    if wanted:
        file = root / "configs" / "features.yaml"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"adjust": "total"}))


def command(root: Path, *arguments: str, must: bool = True) -> bool:
    """Run a command of tftctl; whether it went well."""
    done = subprocess.run([sys.executable, "-m", "tftctl", "-w", str(root), *arguments], capture_output=True, text=True)
    if must and done.returncode:
        sys.exit(f"{' '.join(arguments[:2])}: {done.stderr}")
    return done.returncode == 0


def audit(root: Path) -> dict[str, Any]:
    """The document of `audit leakage`, with seconds and peak memory of its largest process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tftctl", "-w", str(root), "audit", "leakage", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    text, errors = process.stdout.read(), process.stderr.read()  # type: ignore[union-attr]
    _, _, usage = os.wait4(process.pid, 0)
    if not text:
        sys.exit(errors)
    return json.loads(text) | {"seconds": time.perf_counter() - started, "peak_mib": peak_mib(usage)}


def show(name: str, found: dict[str, Any]) -> None:
    """One line, and the findings where there are some."""
    if "error" in found:
        print(f"{name}: {found['error']['message']}", flush=True)
        return
    print(
        f"{name}: {found['verdict']} in {found['seconds']:.1f} s, peak {found['peak_mib']:.0f} MiB; "
        f"{found['groups']} groups, {len(found['verdicts'])} columns, {found['cuts']['count']} cuts, "
        f"{found['single_rows']:,} single rows", flush=True,
    )  # fmt: skip
    for finding in found["findings"]:
        print("   ", {key: value for key, value in finding.items() if value is not None})


if __name__ == "__main__":
    main()
