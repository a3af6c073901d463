"""`tftctl audit leakage`: whether anything in the tables was known too early (SEMANTICS A1, A2)."""
