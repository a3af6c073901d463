"""`tftctl audit splits`: of a run, or of what a configuration would train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.progress import Say, unwatched
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry
from tftctl.start.jobs import asked_of, configurations, job_of

if TYPE_CHECKING:
    from tftctl.audit.findings import Audit

_YAML = (".yaml", ".yml")


def audit_splits_job(workspace: Workspace, source: str | None, overrides: Sequence[str], say: Say) -> Audit:
    """A name or folder is a run, a YAML file a model configuration; without either the workspace's configuration.

    Raises UsageError for a run that is not there, and what a training raises for its configuration.
    """
    if source is not None and Path(source).suffix not in _YAML:
        return _of_run(workspace, source)
    return _of_configuration(workspace, Path(source) if source else None, overrides, say)


def _of_run(workspace: Workspace, name: str) -> Audit:
    from tftctl.train.rundir import find_run

    run = find_run(workspace, name)  # told before torch loads
    from tftctl.audit.splits import audit_splits
    from tftctl.store import Store
    from tftctl.train.ancestor import load_ancestor
    from tftctl.train.predict import prepare_split

    loaded, _ = load_ancestor(workspace, str(run.root))
    store = Store(workspace.store)
    prepared = prepare_split(store, loaded, load_registry(workspace))
    with store.read(loaded.content.spec.snapshot) as snapshot:
        return audit_splits(prepared, snapshot)


def _of_configuration(workspace: Workspace, config: Path | None, overrides: Sequence[str], say: Say) -> Audit:
    model, weights, composite = configurations(workspace, config, overrides, None)
    from tftctl.audit.splits import audit_splits
    from tftctl.data.source import require_tables, snapshot_number
    from tftctl.store import Store

    with Store(workspace.store).read(snapshot_number(model)) as snapshot:
        require_tables(snapshot)
        from tftctl.train.fit import prepare

        asked = asked_of((model.model_copy(update={"precision": "auto"}), weights, composite), None, {})
        return audit_splits(
            prepare(job_of(workspace, "cpu", say, unwatched), asked, snapshot, "train").prepared, snapshot
        )
