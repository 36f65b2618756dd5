"""How good the models are that searches find, ours and others', on the same problems with the same seeds."""
