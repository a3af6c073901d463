"""A new file of a workspace appears whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tftctl.core.errors import ConfigError, DataError
from tftctl.core.workspace import open_workspace
from tftctl.start.scaffold import create_workspace, write_new


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    assert write_new(tmp_path / "a" / "f", "one")
    assert not write_new(tmp_path / "a" / "f", "two")
    assert (tmp_path / "a" / "f").read_text() == "one"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["f"]


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a features.yaml would be kept by the next `tftctl init`."""
    whole = Path.write_text

    def full(path: Path, text: str, *arguments: Any, **options: Any) -> int:
        if path.name.startswith(".model_config"):
            whole(path, text[:10], *arguments, **options)
            raise OSError(28, "No space left on device")
        return whole(path, text, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DataError, match=r"model_config\.yaml: No space left"):
        create_workspace(tmp_path)
    assert sorted(path.name for path in (tmp_path / "configs").iterdir()) == ["features.yaml"]
    assert not (tmp_path / "tftctl.toml").exists()
    monkeypatch.undo()
    assert "configs/model_config.yaml" in create_workspace(tmp_path).created


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plugins = [", "not valid TOML"),
        ("plugin = []", "unknown key 'plugin'"),
        ('plugins = "a.py"', "list of file names"),
        ("plugins = [1]", "list of file names"),
    ],
)
def test_a_malformed_marker(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "tftctl.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        open_workspace(tmp_path)


def test_a_marker_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tftctl.toml").write_text("")

    def refuse(*arguments: Any, **options: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        open_workspace(tmp_path)
