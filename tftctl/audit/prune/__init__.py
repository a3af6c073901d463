"""`tftctl prune`: a thinner fused table as a new snapshot, judged by training rows alone (SEMANTICS A4)."""
