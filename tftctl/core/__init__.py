"""Vocabulary that every layer shares: errors, periods, names, records, configuration, the workspace."""
