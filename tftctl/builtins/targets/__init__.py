"""Built-in targets (SEMANTICS L), one family per file."""
