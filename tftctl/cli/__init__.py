"""The command line: a command parses, calls one service, renders."""
