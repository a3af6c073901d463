"""What a trained network is worth: forecasts beside baselines."""
