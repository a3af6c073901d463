"""Configuration problems, all reported at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tftctl.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, at which dotted key, what was given, what is allowed."""

    file: str
    key: str
    given: str
    allowed: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.key}" if self.key else self.file
        given = f": {self.given}" if self.given else ""
        return f"{place}{given} ({self.allowed})"


class ConfigProblems(ConfigError):
    """One or more problems; the message has one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "\n".join(str(problem) for problem in self.problems), "allowed keys and values: tftctl config schema"
        )
