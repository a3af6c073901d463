"""Forecasts against truth, beside baselines that a user would ask for first."""
