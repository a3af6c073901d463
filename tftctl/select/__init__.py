"""Which features are worth their place: evidence, one core set, and how far to trust it."""
