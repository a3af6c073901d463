"""Audits: what can be proven of time, leakage and splits on the user's own data (SEMANTICS A)."""
