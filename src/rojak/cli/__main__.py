"""`python -m rojak.cli` is `rojak`."""

from rojak.cli import main

main()
