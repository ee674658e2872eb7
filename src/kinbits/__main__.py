"""``python -m kinbits`` is the command line."""

import sys

from kinbits.cli import main

if __name__ == "__main__":
    sys.exit(main())
