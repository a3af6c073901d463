"""`tftctl warm-start`: a new training that begins with the weights of another."""

from __future__ import annotations

from dataclasses import replace

from tftctl.core.config.model import ModelConfig
from tftctl.data.source import snapshot_number
from tftctl.model.network import embedding_widths
from tftctl.train.announce import announce
from tftctl.train.audited import require_audited
from tftctl.train.checkpoint import LoadedCheckpoint, network_shape
from tftctl.train.fit import prepare
from tftctl.train.rundir import Run
from tftctl.train.session import carry_out
from tftctl.train.undertaking import Asked, Job, TrainResult, first_process


def warm_start(job: Job, asked: Asked, loaded: LoadedCheckpoint, parent: Run | None) -> TrainResult:
    """Train with the weights of a checkpoint, a new optimiser, and a schedule that begins at a small rate.

    The checkpoint's network may have other inputs, targets and symbols: what both have is loaded, and the report says
    what is not. Raises what a training raises.
    """
    asked = replace(asked, config=with_widths(asked.config, loaded))
    with job.store.read(snapshot_number(asked.config)) as snapshot:
        require_audited(snapshot, allow_unaudited=asked.allow_unaudited, say=first_process(job.say))
        undertaking = prepare(job, asked, snapshot, "warm-start")
        announce(undertaking.prepared, asked.config, first_process(job.say))
        return carry_out(job, replace(undertaking, loaded=loaded, parent=parent), snapshot)


def with_widths(config: ModelConfig, loaded: LoadedCheckpoint) -> ModelConfig:
    """Embeddings as wide as the checkpoint's, so that those of known symbols can be kept beside new ones."""
    if config.embedding_sizes:
        return config
    widths = embedding_widths(network_shape(loaded.content.config, loaded.content.spec))
    return config.model_copy(update={"embedding_sizes": widths})
