"""The main job on real bars, step by step: seconds and peak memory of every command, as whole processes.

    python benchmarks/main_job.py DATA [--workspace DIR] [--max-steps 200]

DATA holds `1h/`, `4h/` and `1d/` folders of bars. The workspace is made anew in a temporary folder unless named.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALL_NETWORK = [
    "-o", "hidden_size=16", "-o", "lstm_layers=1", "-o", "attention_head_size=2", "-o", "max_encoder_length=48",
]  # fmt: skip


def main() -> None:
    """Run import, build, a second build, train and eval; print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--max-steps", type=int, default=200)
    arguments = parser.parse_args()
    root = arguments.workspace or Path(tempfile.mkdtemp(prefix="tftctl-bench-")) / "workspace"
    folders = [str(arguments.data / period) for period in ("1h", "4h", "1d")]
    measure("init", ["init", str(root)])
    step = ["-w", str(root)]
    measure("data import", [*step, "data", "import", *folders])
    measure("features build", [*step, "features", "build"])
    measure("features build, nothing new", [*step, "features", "build"])
    trained = measure("train", [*step, "train", "--max-steps", str(arguments.max_steps), *SMALL_NETWORK])
    measure("eval --split val", [*step, "eval", trained["run"], "--split", "val"])
    print(f"workspace: {root}")


def measure(name: str, command: list[str]) -> dict:
    """Run one tftctl command with --json; print its seconds, peak memory and the short figures of its document."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tftctl", *command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    text = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{name} failed: {text}")
    document = json.loads(text)
    figures = {key: value for key, value in document.items() if isinstance(value, int | float)}
    print(f"{name}: {seconds:.1f} s, peak {peak_mib(usage):.0f} MiB {figures}", flush=True)
    return document


def peak_mib(usage: resource.struct_rusage) -> float:
    """Peak resident memory of a finished process (Linux counts KiB)."""
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
