"""The kinds of values that configuration is made of, each with what it says when it does not fit.

pydantic collects ValueErrors only; any other error would hide the other problems of a file.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from tftctl.core.errors import UsageError
from tftctl.core.periods import parse_period


def like(pattern: str, text: str) -> BeforeValidator:
    """Text of a pattern; the reader is shown examples, the JSON Schema the pattern."""

    def check(value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"should be like {text}")
        return value

    return BeforeValidator(check, json_schema_input_type=Annotated[str, Field(pattern=f"^{pattern}$")])


def not_a_switch(value: Any) -> Any:
    """true and false are no numbers here, though Python counts with them."""
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


def _period(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a bar period; periods are written 1m, 1h, 4h, 1d, 1w")
    try:
        return parse_period(value)
    except UsageError as error:
        raise ValueError(f"not a bar period; {error.hint}") from None


def _different(values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} is given twice")
    return values


PeriodName = Annotated[str, BeforeValidator(_period)]
Periods = Annotated[list[PeriodName], Field(min_length=1), AfterValidator(_different)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(_different)]
Delay = Annotated[str, like(r"\d+(m|h|d)", "15m, 2h or 1d")]
Lag = Annotated[str, like(r"\d+(h|d)", "0h, 16h or 28d")]
Bars = Annotated[int, BeforeValidator(not_a_switch)]
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(not_a_switch)]


class Strict(BaseModel):
    """Base of every configuration model: an unknown key is a problem, and so is true where a number stands."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        is_switch = cls.model_fields[str(info.field_name)].annotation is bool
        return value if is_switch else not_a_switch(value)
