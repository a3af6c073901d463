"""Three ways through the subsets of a ranked pool, and the budget that ends them.

A method is a generator: it proposes a subset and is sent how good that is. With the same seed and the same answers it
proposes the same, so a search that was stopped is repeated from its record and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tftctl.core.config.selection import Method
from tftctl.core.progress import Report, silent

# one flag per feature of the pool, the best-ranked first
Subset = tuple[bool, ...]
DROPPED = 0.2
POPULATION, CHILDREN, CONTEST = 8, 4, 3
GROUPS = 20
# prefixes of the ranking that a search begins with
PREFIXES = (1.0, 0.5, 0.25, 0.125, 0.75, 0.375)
# a method that proposes so many known subsets one after the other has nothing new to say
REPEATS = 200


@dataclass(frozen=True, slots=True)
class Trial:
    """A subset that was evaluated in so many seconds. `gain` is the share of the training loss that each feature of
    the pool saves, 0 for those outside the subset."""

    subset: Subset
    objective: float
    skill: float
    gain: tuple[float, ...]
    seconds: float

    @property
    def size(self) -> int:
        """How many features the subset has."""
        return sum(self.subset)


Proposals = Generator[Subset, Trial, None]


@dataclass(frozen=True, slots=True)
class Budget:
    """Distinct subsets, minutes of evaluating them, and trials without a better objective."""

    trials: int
    minutes: float
    patience: int


@dataclass(frozen=True, slots=True)
class Searched:
    """Trials in the order in which they were proposed, and what ended them: `trials`, `minutes`, `patience`, or
    `exhausted` where the method had nothing new to propose."""

    trials: tuple[Trial, ...]
    stopped_by: str

    @property
    def best(self) -> Trial:
        """The first of the highest objective."""
        return max(self.trials, key=lambda trial: trial.objective)


def search(
    proposals: Proposals, budget: Budget, evaluate: Callable[[Subset], Trial], report: Report = silent
) -> Searched:
    """Evaluate what a method proposes, each subset once, until it or the budget ends."""
    known: dict[Subset, Trial] = {}
    repeats = 0
    for subset in _answered(proposals, known):
        if subset in known:
            repeats += 1
        else:
            ended = _ended(list(known.values()), budget)
            if ended is not None:
                return Searched(tuple(known.values()), ended)
            known[subset] = evaluate(subset)
            repeats = 0
            report("subsets", len(known), budget.trials)
        if repeats >= REPEATS or len(known) == 2 ** len(subset) - 1:
            break
    return Searched(tuple(known.values()), "exhausted")


def _answered(proposals: Proposals, known: Mapping[Subset, Trial]) -> Iterator[Subset]:
    """Each proposal; the caller has put its trial into `known` before it asks for the next."""
    try:
        subset = next(proposals)
        while True:
            yield subset
            subset = proposals.send(known[subset])
    except StopIteration:
        return


def _ended(trials: Sequence[Trial], budget: Budget) -> str | None:
    if not trials:
        return None
    if len(trials) >= budget.trials:
        return "trials"
    if sum(trial.seconds for trial in trials) >= 60 * budget.minutes:
        return "minutes"
    best = max(range(len(trials)), key=lambda place: trials[place].objective)
    return "patience" if len(trials) - 1 - best >= budget.patience else None


def elimination(size: int, seed: int) -> Proposals:
    """Drop the fifth with the least gain until one is left; then single features of the best set while that helps.

    Recursive feature elimination (Guyon et al. 2002). Nothing in it is random.
    """
    trial = best = yield (True,) * size
    while trial.size > 1:
        trial = yield _without(trial, _least(trial)[: max(1, round(DROPPED * trial.size))])
        best = _better(best, trial)
    improved = True
    while improved and best.size > 1:
        improved = False
        for place in _least(best):
            trial = yield _without(best, [place])
            if trial.objective > best.objective:
                best, improved = trial, True
                break


def genetic(size: int, seed: int) -> Proposals:
    """Four children at a time, after which the best eight of all stay (Goldberg 1989, with elitism).

    The first eight are prefixes of the ranking and random sets. A parent is the best of three drawn ones; a child takes
    each flag from either parent, and one flag on average is turned.
    """
    rng = np.random.default_rng(seed)
    population: list[Trial] = []
    for subset in islice(_founders(size, rng), POPULATION):
        population.append((yield subset))
    while True:
        children: list[Trial] = []
        while len(children) < CHILDREN:
            child = _child(population, rng)
            if any(child):
                children.append((yield child))
        everyone = dict.fromkeys([*population, *children])
        population = sorted(everyone, key=lambda trial: -trial.objective)[:POPULATION]


def tpe(size: int, seed: int) -> Proposals:
    """Optuna's tree-structured Parzen estimator over flags (Bergstra et al. 2011), after prefixes of the ranking.

    At most 20 flags: those of a larger pool stand for groups of features with neighbouring ranks. Where the estimator
    asks for what it knows, flags are turned at random, one by one, until the set is a new one.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    groups = min(size, GROUPS)
    group = np.repeat(np.arange(groups), [part.size for part in np.array_split(np.arange(size), groups)])
    space: dict[str, optuna.distributions.BaseDistribution] = {
        f"group_{number:02d}": optuna.distributions.CategoricalDistribution((False, True)) for number in range(groups)
    }
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=True, constant_liar=False)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    rng = np.random.default_rng(seed)
    told: set[Subset] = {(False,) * groups}
    starts = iter(_prefixes(groups))
    while True:
        flags = next(starts, None)
        if flags is None:
            asked = study.ask(space)
            study.tell(asked, state=optuna.trial.TrialState.FAIL)  # told below, as what becomes of it
            flags = _unknown(tuple(asked.params[name] for name in space), told, rng)
        told.add(flags)
        trial = yield tuple(np.array(flags)[group].tolist())
        params = dict(zip(space, flags, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=trial.objective))


def _unknown(flags: Subset, told: set[Subset], rng: np.random.Generator) -> Subset:
    while flags in told:
        turned = int(rng.integers(len(flags)))
        flags = tuple(flag != (place == turned) for place, flag in enumerate(flags))
    return flags


METHODS: dict[Method, Callable[[int, int], Proposals]] = {"elimination": elimination, "genetic": genetic, "tpe": tpe}


def _prefixes(size: int) -> list[Subset]:
    """All, then shares of the ranking from its top, each once."""
    lengths = dict.fromkeys(max(1, round(share * size)) for share in PREFIXES)
    return [tuple(place < length for place in range(size)) for length in lengths]


def _founders(size: int, rng: np.random.Generator) -> Iterator[Subset]:
    """Prefixes, then random sets without end: of one feature at least, and of every size alike."""
    yield from _prefixes(size)
    while True:
        chosen = rng.random(size) < rng.uniform(0.1, 0.9)
        chosen[rng.integers(size)] = True
        yield tuple(chosen.tolist())


def _child(population: Sequence[Trial], rng: np.random.Generator) -> Subset:
    mother, father = (np.array(_winner(population, rng).subset) for _ in range(2))
    child = np.where(rng.random(mother.size) < 0.5, mother, father)
    turned = rng.random(mother.size) < 1 / mother.size
    return tuple((child ^ turned).tolist())


def _winner(population: Sequence[Trial], rng: np.random.Generator) -> Trial:
    drawn = rng.choice(len(population), min(CONTEST, len(population)), replace=False)
    return max((population[place] for place in drawn), key=lambda trial: trial.objective)


def _least(trial: Trial) -> list[int]:
    """Places of a set's features, the least gain first; of equal gains the worst rank first."""
    return sorted((place for place, kept in enumerate(trial.subset) if kept), key=lambda at: (trial.gain[at], -at))


def _without(trial: Trial, places: Sequence[int]) -> Subset:
    gone = set(places)
    return tuple(kept and place not in gone for place, kept in enumerate(trial.subset))


def _better(best: Trial, other: Trial) -> Trial:
    return other if other.objective > best.objective else best
