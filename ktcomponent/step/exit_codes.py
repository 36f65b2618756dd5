"""What the exit codes of the commands mean."""

DONE = 0
"""The batch is done."""
UNEXPECTED = 1
"""Something unexpected; a retry may help."""
BAD_CONFIGURATION = 2
"""A retry can't help."""
INFRASTRUCTURE = 75
"""The infrastructure failed, or this step was told to end; retry."""
SEARCH_OVER = 99
"""The end of the search is committed and no trial runs: nothing is left to do."""
