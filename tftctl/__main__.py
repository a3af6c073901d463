"""`tftctl`, also `python -m tftctl`."""

from __future__ import annotations


def main() -> None:
    """Run the command line; Ctrl-C while it is still being imported ends it as quietly as later on."""
    try:
        from tftctl.cli.app import main as run
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
