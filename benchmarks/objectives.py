"""What the benchmarks tune."""


def no_op(hp):
    """Eight hyperparameters and nothing to do."""
    for n in range(6):
        hp.Float(f"float_{n}", 1e-4, 1e-1, sampling="log")
    hp.Int("int", 1, 1000)
    hp.Choice("choice", ["a", "b", "c"])
    return hp.get("float_0")
