"""Configuration: one pydantic tree, read from YAML 1.2, with all problems reported at once."""
