"""A workspace: a folder with `tftctl.toml`, its store, configuration and runs."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tftctl.core.errors import ConfigError, UsageError

MARKER = "tftctl.toml"


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths of one workspace. `plugin_files` are the single-file plugins that it lists."""

    root: Path
    plugin_files: tuple[Path, ...] = ()

    @property
    def store(self) -> Path:
        """Folder of the feature store."""
        return self.root / "store"

    @property
    def configs(self) -> Path:
        """Folder of the YAML configuration."""
        return self.root / "configs"

    @property
    def runs(self) -> Path:
        """Folder of the run directories."""
        return self.root / "runs"

    @property
    def reports(self) -> Path:
        """Folder of reports, import rejects and evidence."""
        return self.root / "reports"

    def shown(self, path: Path) -> str:
        """A path for people: relative to the workspace where it lies in it."""
        resolved = path.resolve()
        return str(resolved.relative_to(self.root) if resolved.is_relative_to(self.root) else resolved)


def open_workspace(path: Path | None = None) -> Workspace:
    """Open the workspace at `path`, or the nearest one at or above the current folder.

    Raises UsageError when there is none, ConfigError when `tftctl.toml` is malformed.
    """
    if path is not None:
        root = path.expanduser().resolve()
        if not (root / MARKER).is_file():
            raise UsageError(f"{root} is not a tftctl workspace (it has no {MARKER})", f"make one: tftctl init {path}")
        return _read(root)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            return _read(folder)
    raise UsageError(
        f"no {MARKER} in {here} or above it",
        "make a workspace: tftctl init DIR, or name one: tftctl -w DIR ...",
    )


def _read(root: Path) -> Workspace:
    marker = root / MARKER
    try:
        document = tomllib.loads(marker.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{marker}: not valid TOML: {error}", "mend the file or make a new one: tftctl init"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{marker} cannot be read: {error.strerror}", "change its mode, or name another: -w"
        ) from None
    unknown = sorted(set(document) - {"plugins"})
    if unknown:
        raise ConfigError(f"{marker}: unknown key {unknown[0]!r}", "known keys: plugins")
    listed = document.get("plugins", [])
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise ConfigError(f"{marker}: plugins must be a list of file names", 'like plugins = ["plugins/mine.py"]')
    return Workspace(root, tuple(root / item for item in listed))
