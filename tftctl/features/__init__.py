"""Running indicators and targets over bars, normalising, fusing periods and macro series."""
