"""`python -m ipo_prompts`: the command line."""

import sys

from ipo_prompts.experiments.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
