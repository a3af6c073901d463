"""Looking at run directories: list, show, compare, plot, clean. Nothing here loads torch."""
