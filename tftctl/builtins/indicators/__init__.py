"""Built-in indicators, one family per file."""
