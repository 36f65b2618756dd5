"""`python -m ktcomponent` is the command `ktcomponent`."""

from ktcomponent.cli import main

main()
