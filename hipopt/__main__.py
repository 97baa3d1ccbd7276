"""`python -m hipopt` is the `hipopt` command."""

from hipopt.cli.main import main

main()
