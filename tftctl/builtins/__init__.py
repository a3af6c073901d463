"""Built-in plugins: they import `tftctl.api` only, like any guest."""
