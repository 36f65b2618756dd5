"""Looking after studies: checking, mending, copying, cleaning up. Nothing here runs during a search."""
