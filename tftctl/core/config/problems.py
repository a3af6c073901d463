"""Configuration problems, all reported at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tftctl.core.errors import ConfigError

SCHEMA_HINT = "allowed keys and values: tftctl config schema"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, at which dotted key, what was given, what is allowed."""

    file: str
    key: str
    given: str
    allowed: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        where = f"{place}: {self.key}" if self.key else place
        return f"{where}: {self.given} ({self.allowed})" if self.given else f"{where}: {self.allowed}"


class ConfigProblems(ConfigError):
    """One or more problems; the message has one line for each."""

    def __init__(self, problems: Iterable[Problem], hint: str = SCHEMA_HINT) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems), hint)


def problem_document(problem: Problem) -> dict[str, str | int | None]:
    """One problem as JSON."""
    return asdict(problem)
