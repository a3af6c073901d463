"""`python -m tftctl`."""

from tftctl.cli.app import main

if __name__ == "__main__":
    main()
