"""Runs an oracle in memory."""


def nothing(hp):
    pass


def end(oracle, trial, score, status="COMPLETED"):
    if status == "COMPLETED":
        oracle.update_trial(trial.trial_id, {"loss": score})
    trial.status = status
    oracle.end_trial(trial)


def run(oracle, declare, limit=200, score=lambda hp, n: float(n)):
    """The values of all trials, until the oracle stops."""
    values = []
    while len(values) < limit:
        trial = oracle.create_trial("t")
        if trial.status == "STOPPED":
            return values
        assert trial.status == "RUNNING"
        declare(trial.hyperparameters)
        values.append(dict(trial.hyperparameters.values))
        end(oracle, trial, score(trial.hyperparameters, len(values)))
    return values
