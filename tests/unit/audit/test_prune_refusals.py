"""What cannot be pruned by is refused in one line, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pruning_world import CONFIG, PLANTED, make_store, tried

from tftctl.audit.prune.names import read_names
from tftctl.audit.prune.rules import RowRules
from tftctl.core.errors import TftctlError
from tftctl.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The planted table; nothing may write to it."""
    return make_store(tmp_path_factory.mktemp("refused"))


def refused(store: Store, code: int, **given: Any) -> str:
    """Message and hint of a refusal."""
    with pytest.raises(TftctlError) as caught:
        tried(store, **given)
    assert caught.value.exit_code == code
    assert "\n" not in caught.value.message
    return f"{caught.value.message}; {caught.value.hint}"


def test_nothing_asked(store: Store) -> None:
    """A bare call says which rules there are."""
    assert "--columns" in refused(store, 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_missing": -0.1}, "--max-missing -0.1"),
        ({"max_missing": 1.0}, "below 1"),
        ({"max_missing": float("nan")}, "--max-missing nan"),
        ({"max_same": 0.4}, "at least 0.5"),
        ({"max_correlation": 1.5}, "--max-correlation 1.5"),
        ({"max_ks": 2.0}, "--max-ks 2"),
        ({"max_psi": -1.0}, "--max-psi -1"),
        ({"constant": True, "keep": "best"}, "first, coverage, variance, target:NAME"),
        ({"constant": True, "keep": "target:"}, "target:NAME"),
        ({"constant": True, "keep": "target:target_z"}, "did you mean"),
        ({"rows": RowRules(min_ratio={"1h": 1.1})}, "--min-ratio 1h 1.1"),
    ],
)
def test_limits_out_of_range(store: Store, given: Any, words: str) -> None:
    """With the option, what was given, and what is allowed."""
    assert words in refused(store, 2, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"drop": ("signl",)}, "--drop: the fused table has no column 'signl'; did you mean 'signal'?"),
        ({"drop": ("x_*",)}, "no column is like 'x_*'"),
        ({"constant": True, "pin": ("nois",)}, "--pin: the fused table has no column 'nois'; did you mean 'noise'?"),
        ({"keep_only": ("noise", "spars")}, "did you mean 'sparse'?"),
        ({"drop": ("segment",)}, "every row needs 'segment'"),
        ({"drop": ("target_x",)}, "in the targets table"),
        ({"drop": ("noise",), "pin": ("noi*",)}, "it is pinned and to be dropped"),
        ({"drop": ("noise",), "keep_only": ("noise",)}, "--keep-only keeps it and --drop drops it"),
        ({"rows": RowRules(require=("rsi",))}, "--require: the fused table has no column 'rsi'"),
        ({"rows": RowRules(min_k={"1d": 3})}, "--min-k: the fused table has no period '1d'"),
        ({"rows": RowRules(require=("noise", "flat"), min_k={"4h": 3})}, "where 2 of the required columns apply"),
        ({"rows": RowRules(require=("noise",)), "drop": ("noise",)}, "none of the required columns is left"),
    ],
)
def test_names_that_cannot_be(store: Store, given: Any, words: str) -> None:
    """The nearest match, or who says what of the same column."""
    assert words in refused(store, 2, **given)


def test_everything_would_go(store: Store) -> None:
    """No input, or no training row, is no table: the rule that takes most is named."""
    assert "--drop takes" in refused(store, 2, drop=("*",))
    assert "no input would be left" in refused(store, 2, drop=tuple(PLANTED))
    told = refused(store, 2, rows=RowRules(require=("empty",)))
    assert "no training row would be left; of 8,980 rows 0 stay" in told
    assert "--min-ratio" in told


def test_tables_that_are_not_there(tmp_path: Path) -> None:
    """An empty store, and a target that the training wants and the store has not."""
    assert "import FILES" in refused(Store(tmp_path / "store"), 3, constant=True)
    store = make_store(tmp_path / "made")
    config = CONFIG.model_copy(update={"targets": ["target_z"]})
    assert "no target 'target_z'" in refused(store, 3, config=config, constant=True)


def test_too_few_days(store: Store) -> None:
    """What a training would say."""
    config = CONFIG.model_copy(update={"val_mode": "days", "val_days": 80, "test_days": 80})
    assert "cannot be split" in refused(store, 3, config=config, constant=True)


def test_files_of_names(tmp_path: Path) -> None:
    """Comments and blank lines are none; a file that cannot be read, or says nothing, is named."""
    path = tmp_path / "names.txt"
    path.write_text("# chosen\nnoise\n\nsignal_*  # all of them\n")
    assert read_names(path, "--pin") == ("noise", "signal_*")
    path.write_text("# nothing\n")
    with pytest.raises(TftctlError, match="names no column"):
        read_names(path, "--pin")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TftctlError, match="not UTF-8"):
        read_names(path, "--pin")
    with pytest.raises(TftctlError, match="No such file"):
        read_names(tmp_path / "none.txt", "--drop-file")
