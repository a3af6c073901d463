"""Instants are int64 milliseconds since 1970-01-01 UTC; text is ISO 8601 with `Z`."""

from __future__ import annotations

import datetime as dt
import time

UTC = dt.UTC


def now_ms() -> int:
    """The present instant in milliseconds UTC."""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """Format an instant: `2023-12-31T23:00:00Z`, with milliseconds only where there are any."""
    seconds, millis = divmod(int(ms), 1000)
    text = dt.datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{millis:03d}Z" if millis else f"{text}Z"


def parse_iso(text: str) -> int:
    """Read an ISO 8601 date or time; without a zone it is UTC. Raises ValueError."""
    moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
