"""`python -m mfgviz.cli`: the command line, where the program is not on the path."""

from mfgviz.cli import main

main()
