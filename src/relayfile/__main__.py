"""`python -m relayfile` is the command line."""

from relayfile.cli.boot import main

if __name__ == "__main__":
    main()
