"""`audit leakage` finds every planted leak, names its column, and says nothing of sound ones (SEMANTICS A1)."""

from __future__ import annotations

import pytest
from leakage_zoo import market, specimens, workspace_with

from tftctl.audit.findings import Audit, Finding
from tftctl.audit.leakage.audit import audit_leakage
from tftctl.core.config.features import FeaturesConfig
from tftctl.core.workspace import Workspace, open_workspace
from tftctl.features.build import build
from tftctl.plugins import load_registry
from tftctl.store import Store

PLUGIN = """
from leakage_zoo import specimens
from tftctl.api import hookimpl

@hookimpl
def tftctl_indicators():
    return [specimen.record for specimen in specimens({seed})]
"""


def audited(root: Workspace, seed: int, symbols: int, size: int) -> Audit:
    """The audit of a market of random walks whose features are the specimens of a seed."""
    (root.root / "zoo.py").write_text(PLUGIN.format(seed=seed))
    (root.root / "tftctl.toml").write_text('plugins = ["zoo.py"]\n')
    frames = [market(size, seed + number, symbol=f"S{number}") for number in range(symbols)]
    store = Store(workspace_with(root, frames).store)
    registry = load_registry(open_workspace(root.root))
    names = ["log_return", *(specimen.record.name for specimen in specimens(seed))]
    config = FeaturesConfig.model_validate(
        {"periods": ["1h"], "indicators": names, "targets": ["target_logreturn", "target_realized_vol"], "context": {}}
    )
    build(store, config, registry)
    with store.read() as snapshot:
        return audit_leakage(store, snapshot, registry)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 9))])
def test_every_specimen_is_found_and_no_sound_one(workspace: Workspace, seed: int) -> None:
    """Recall 100 %, no false alarm; the class where the mistake is all there is."""
    audit = audited(workspace, seed, symbols=3, size=1400)
    found: dict[str | None, list[Finding]] = {}
    for finding in audit.findings:
        found.setdefault(finding.column, []).append(finding)
    drawn = specimens(seed)
    missed = [
        s.record.name for s in drawn if s.kind and "FAIL" not in {f.verdict for f in found.get(s.record.name, [])}
    ]
    assert not missed
    alarms = set(found) - {s.record.name for s in drawn if s.kind}
    assert not alarms, [found[name] for name in alarms]
    for specimen in drawn:
        if specimen.kind and specimen.is_plain:
            first = found[specimen.record.name][0]
            assert first.kind == specimen.kind, (specimen.record.name, first)
            assert first.symbol and first.period == "1h" and first.row
    assert audit.verdict == "FAIL" and audit.exit_code(strict=False) == 5
