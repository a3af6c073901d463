"""The record of a search: an Optuna study in SQLite, one finished trial per subset that was evaluated.

Any client of Optuna can open it. What is in it is never evaluated again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tftctl.core.errors import DataError
from tftctl.select.search import Subset, Trial

if TYPE_CHECKING:
    import optuna

# how long a write of another program is waited for
LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One study of a file; `features` is the pool in the order of its flags."""

    path: Path
    features: tuple[str, ...]
    method: str
    study: optuna.Study

    def trials(self) -> dict[Subset, Trial]:
        """What was evaluated so far; of a subset that two searches have evaluated the first."""
        from optuna.trial import TrialState

        found: dict[Subset, Trial] = {}
        with _clear_errors(self.path):
            finished = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        for trial in finished:
            kept = trial.user_attrs
            try:
                subset = tuple(bool(trial.params[name]) for name in self.features)
                read = Trial(subset, float(trial.values[0]), kept["skill"], tuple(kept["gain"]), kept["seconds"])
            except (KeyError, TypeError):
                raise DataError(f"{self.path}: trial {trial.number} of {self.study.study_name} is none of a search",
                                "move the file away: the search then begins anew") from None  # fmt: skip
            found.setdefault(subset, read)
        return found

    def add(self, trial: Trial) -> None:
        """Write one trial, whole or not at all."""
        import optuna

        flag = optuna.distributions.CategoricalDistribution((False, True))
        finished = optuna.trial.create_trial(
            params=dict(zip(self.features, trial.subset, strict=True)),
            distributions=dict.fromkeys(self.features, flag),
            value=trial.objective,
            user_attrs={
                "method": self.method,
                "size": trial.size,
                "skill": trial.skill,
                "seconds": trial.seconds,
                "gain": list(trial.gain),
            },
        )
        with _clear_errors(self.path):
            self.study.add_trial(finished)


def open_record(path: Path, key: str, features: Sequence[str], method: str, facts: Mapping[str, Any]) -> Record:
    """The study named `key` of a file, both made where they are missing. `facts` are kept with a new study.

    Raises DataError for a file that is damaged, locked, or something else; nothing in it is changed then.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = path.resolve()
    with _clear_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_study(path)
        storage = optuna.storages.RDBStorage(_url(path), {"connect_args": {"timeout": LOCK_SECONDS}})
        study = optuna.create_study(storage=storage, study_name=key, direction="maximize", load_if_exists=True)
        if not study.user_attrs:
            for name, value in facts.items():
                study.set_user_attr(name, value)
    return Record(path, tuple(features), method, study)


def _url(path: Path) -> str:
    """Optuna formats the address as a template."""
    if "?" in str(path):
        raise DataError(f"{path}: SQLAlchemy takes what follows a '?' for options", "name another file or folder")
    return f"sqlite:///{path}".replace("{", "{{").replace("}", "}}")


def _require_study(path: Path) -> None:
    """Read all of what is there: Optuna would add its tables to any database, and notice damage in mid-search."""
    if not path.exists():
        return
    with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as database:
        sound = database.execute("PRAGMA quick_check").fetchone()[0]
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if sound != "ok":
        raise sqlite3.DatabaseError(" ".join(str(sound).split()))
    if tables and "studies" not in tables:
        raise DataError(f"{path} is a database, but none of Optuna's: it has the table {min(tables)!r}",
                        "name another file: --study")  # fmt: skip


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """One line for what SQLite, SQLAlchemy and Optuna raise."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (sqlite3.Error, SQLAlchemyError, StorageInternalError, OSError, RuntimeError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        why = " ".join(str(cause).split())
        hint = "name another file (--study), or move this one away: the search then begins anew"
        if "locked" in why or "busy" in why:
            hint = "another program is writing to it; run this again when it has ended: nothing is lost"
        raise DataError(f"{path}, the study of the search, cannot be used: {why}", hint) from None
