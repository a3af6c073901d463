"""Names of bar periods (SEMANTICS T)."""

from __future__ import annotations

import pytest

from tftctl.core.config.features import FeaturesConfig
from tftctl.core.config.loading import validate
from tftctl.core.config.problems import ConfigProblems
from tftctl.core.errors import UsageError
from tftctl.core.periods import parse_period


@pytest.mark.parametrize(
    ("text", "period"),
    [("1m", "1m"), ("15M", "15m"), ("60min", "1h"), ("4H", "4h"), (" Daily ", "1d"), ("1D", "1d"), ("1W", "1w")],
)
def test_common_ways_to_write_a_period(text: str, period: str) -> None:
    """Their canonical name."""
    assert parse_period(text) == period


@pytest.mark.parametrize("text", ["1M", "3M", "12M", "MN", "MN1", "1mo", "1 month", "monthly", "Months"])
def test_a_month_is_no_minute(text: str) -> None:
    """Refused with what there is, also how a month is written where one may stand."""
    with pytest.raises(UsageError, match="stands for months") as refused:
        parse_period(text)
    assert "1m, 1h, 4h, 1d, 1w" in refused.value.hint
    assert "1mo" in refused.value.hint


@pytest.mark.parametrize("text", ["7x", "0h", "", "h", "1.5h"])
def test_what_is_no_period(text: str) -> None:
    """Refused with how one is written."""
    with pytest.raises(UsageError, match="is not a bar period") as refused:
        parse_period(text)
    assert refused.value.hint == "periods are written 1m, 1h, 4h, 1d, 1w"


def test_months_in_the_configuration() -> None:
    """With the key, as every other problem."""
    with pytest.raises(ConfigProblems) as caught:
        validate({"periods": ["1M", "1h"]}, FeaturesConfig, "f.yaml")
    (problem,) = caught.value.problems
    assert str(problem).startswith("f.yaml: periods.0: '1M' (not a bar period; periods are written 1m, 1h, 4h, 1d, 1w")
