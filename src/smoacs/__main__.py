"""`python -m smoacs`: the command line, for a Python whose scripts are not on the PATH."""

from smoacs.cli import main

if __name__ == "__main__":
    main()
