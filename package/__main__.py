"""`python -m ipo`: the command line."""

import sys

from ipo.experiments.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
