"""The feature engine beside what people use today, and its builds. Run alone, one measurement at a time.

    pip install -r benchmarks/requirements.txt
    python benchmarks/features.py pack DATA
    python benchmarks/features.py COMMAND --help

DATA is a folder of real bars with `1h/SYMBOL.parquet` (and `4h/`, `1d/` for append). Prints markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from markets import Folder, Walks
from measure import machine

Arguments = argparse.Namespace
Commands = argparse._SubParsersAction


def main() -> None:
    """One subcommand per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (_pack, _build, _append, _memory, _fusion, _parity, _anomalies):
        add(commands)
    arguments = parser.parse_args()
    print(f"`{arguments.command}` on {machine()}\n", flush=True)
    arguments.run(arguments)


def _pack(commands: Commands) -> None:
    text = "17 shared outputs: engine, TA-Lib, pandas-ta-classic, ta, Polars; one thread (20 minutes, most of it ta)"
    parser = _command(commands, "pack", text, run_pack)
    parser.add_argument("data", type=Path, nargs="?", help="folder with 1h/*.parquet; without it synthetic bars only")
    _size(parser, 50, 20_000)
    parser.add_argument("--repeats", type=int, default=5, help="rounds in which all sides take turns")
    parser.add_argument("--only", help="only the engine and sides whose name holds this")


def run_pack(arguments: Arguments) -> None:
    """Real bars first, where a folder is given; `--symbols 0` leaves the synthetic ones out."""
    from pack import pack

    if arguments.data is not None:
        print(pack(Folder(arguments.data), arguments.repeats, arguments.only), end="\n\n", flush=True)
    if arguments.symbols:
        print(pack(Walks(arguments.symbols, arguments.bars), arguments.repeats, arguments.only))


def _build(commands: Commands) -> None:
    text = "features build end to end, storing included: 100 columns, and the whole catalogue (10 minutes)"
    parser = _command(commands, "build", text, run_build)
    _size(parser, 50, 20_000)
    parser.add_argument("--jobs", type=int, nargs="+", default=[2, 1], help="numbers of processes (default 2 1)")
    parser.add_argument("--repeats", type=int, default=3)
    _folder(parser)


def run_build(arguments: Arguments) -> None:
    """Peak memory is that of the process and its workers."""
    from builds import build_table

    walks = Walks(arguments.symbols, arguments.bars)
    print(build_table(walks, arguments.jobs, arguments.repeats, arguments.folder))


def _append(commands: Commands) -> None:
    text = "a day more and one corrected bar beside a full build, and proof that the tables are equal (3 minutes)"
    parser = _command(commands, "append", text, run_append)
    parser.add_argument("data", type=Path, nargs="?", help="folder with 1h, 4h and 1d bars; without it synthetic ones")
    _size(parser, 6, 43_800)
    parser.add_argument("--days", type=int, default=3, help="days to append, one build each (default 3)")
    parser.add_argument("--periods", nargs="+", default=["1h", "4h", "1d"], help="bars to use (default 1h 4h 1d)")
    _folder(parser)


def run_append(arguments: Arguments) -> None:
    """Real bars where a folder is given."""
    from builds import append_table

    market = Folder(arguments.data) if arguments.data else Walks(arguments.symbols, arguments.bars)
    print(append_table(market, arguments.periods, arguments.days, arguments.folder))


def _memory(commands: Commands) -> None:
    text = "peak memory of a build of 17 outputs as rows grow (1 and 10 million: 5 minutes; 50 million: half an hour)"
    parser = _command(commands, "memory", text, run_memory)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10, 50], help="rows (default 1 10 50)")
    parser.add_argument("--bars", type=int, default=50_000, help="bars of each symbol (default 50000)")
    parser.add_argument("--jobs", type=int, default=2)
    _folder(parser)


def run_memory(arguments: Arguments) -> None:
    """Sizes that the disk cannot hold are skipped."""
    from builds import memory_table

    print(memory_table(arguments.millions, arguments.bars, arguments.jobs, arguments.folder))


def _fusion(commands: Commands) -> None:
    text = "fusing 1h <- 4h, 1d and a macro series, beside DuckDB's ASOF join (2 minutes)"
    parser = _command(commands, "fusion", text, run_fusion)
    _size(parser, 50, 35_000)
    parser.add_argument("--columns", type=int, default=60, help="feature columns after fusion (default 60)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)


def run_fusion(arguments: Arguments) -> None:
    """In memory, without storing."""
    from fusion import fusion

    print(fusion(arguments.symbols, arguments.bars, arguments.columns, arguments.threads, arguments.repeats))


def _parity(commands: Commands) -> None:
    text = "largest difference to TA-Lib, column by column, on one file of real hourly bars (seconds)"
    parser = _command(commands, "parity", text, run_parity)
    parser.add_argument("file", type=Path, help="Parquet file of hourly bars, such as DATA/1h/BTCUSDT.parquet")
    parser.add_argument("--last", type=int, help="only so many bars at the end")


def run_parity(arguments: Arguments) -> None:
    """Every column that TA-Lib has, or that follows from one of its own."""
    from parity import parity

    print(parity(arguments.file, arguments.last))


def _anomalies(commands: Commands) -> None:
    text = "scores of unusual bars and the GARCH family, each apart (10 minutes)"
    parser = _command(commands, "anomalies", text, run_anomalies)
    _size(parser, 2, 20_000)
    parser.add_argument("--repeats", type=int, default=3)


def run_anomalies(arguments: Arguments) -> None:
    """They are off by default."""
    from anomalies import anomalies

    print(anomalies(Walks(arguments.symbols, arguments.bars), arguments.repeats))


def _command(commands: Commands, name: str, text: str, run: Callable[[Arguments], None]) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _size(parser: argparse.ArgumentParser, symbols: int, bars: int) -> None:
    parser.add_argument("--symbols", type=int, default=symbols, help=f"synthetic symbols (default {symbols})")
    parser.add_argument("--bars", type=int, default=bars, help=f"hourly bars of each (default {bars})")


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="where temporary stores are made (default: the system's)")


if __name__ == "__main__":
    main()
