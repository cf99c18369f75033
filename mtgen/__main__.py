"""`python -m mtgen`: the same as the command `mtgen`."""

from mtgen.cli import main

if __name__ == "__main__":
    main()
