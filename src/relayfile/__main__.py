"""`python -m relayfile` is the command line."""

import sys

from relayfile.cli.boot import main

if __name__ == "__main__":
    sys.exit(main())
