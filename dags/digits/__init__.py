"""What a user writes: a model and its data, in a package of its own."""
