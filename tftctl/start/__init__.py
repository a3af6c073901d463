"""First steps: making a workspace, and the whole job once on embedded data."""
