"""Functions to tune, as a user would write them; none needs Keras."""

import math
import os
import pathlib
import signal
import time

import ktcomponent


def space(hp):
    return hp.Float("x", -1, 1), hp.Int("n", 1, 100, sampling="log")


def objective(hp):
    x, n = space(hp)
    time.sleep(float(os.environ.get("SECONDS", "0")))
    with open(os.environ.get("CALLS", os.devnull), "a") as calls:
        calls.write(f"{os.getpid()} {x!r} {n}\n")
    return x * x + n / 100


def deadly(hp):
    """Kills its own process for one value."""
    if hp.Choice("v", [0, 1, 2, 3, 4, 5]) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return float(hp.get("v"))


def sleepy(hp):
    space(hp)
    time.sleep(600)
    return 0.0


def family(hp):
    """Starts a process of its own, says both ids, and sleeps."""
    import subprocess

    space(hp)
    other = subprocess.Popen(["sleep", "600"])
    print(f"pids {os.getpid()} {other.pid}", flush=True)
    time.sleep(600)
    return 0.0


def not_a_number(hp):
    return math.nan if hp.Int("k", 0, 9) % 2 else math.inf


def sometimes_nan(hp):
    k = hp.Int("k", 0, 9)
    return math.nan if k == 4 else float(k)


def failing(hp):
    hp.Int("k", 0, 99)
    raise RuntimeError("a bug in user code")


def returns_nothing(hp):
    hp.Int("k", 0, 9)


def other_metrics(hp):
    return {"cost": float(hp.Int("k", 0, 9))}


def with_data(hp, data, *, scale):
    return scale * sum(data) * hp.Float("x", 0, 1)


def load():
    return ([1.0, 2.0],), {"scale": 3.0}


def bad_load():
    return [1, 2, 3]


def conditional(hp):
    if hp.Choice("kind", ["a", "b"]) == "a":
        return hp.Float("of_a", 0, 1, parent_name="kind", parent_values="a")
    return 2 * hp.Float("of_b", 0, 1, parent_name="kind", parent_values="b")


def changed_domain(hp):
    x, n = hp.Float("x", -1, 2), hp.Int("n", 1, 100, sampling="log")
    return x * x + n / 100


def more_hyperparameters(hp):
    x, n = space(hp)
    return x * x + n / 100 + hp.Float("y", 0, 1)


def chatty(hp):
    x, _ = space(hp)
    for n in range(20):
        print("word", n, flush=True)
        time.sleep(0.02)
    return x


def exits(code):
    def objective(hp):
        if space(hp)[1] > 1:
            os._exit(code)
        return 1.0

    return objective


exits_0, exits_1, exits_2, exits_99 = map(exits, (0, 1, 2, 99))


def sys_exits(hp):
    space(hp)
    raise SystemExit(0)


class FileTuner(ktcomponent.Tuner):
    """Writes a file in each attempt; its process is killed in the first."""

    def run_trial(self, trial):
        attempts = len(list(pathlib.Path().glob("attempt-*"))) + 1
        for folder in (pathlib.Path(self.get_trial_dir(trial.trial_id)), pathlib.Path()):
            (folder / f"attempt-{attempts}").write_text("text")
        if attempts == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return objective(trial.hyperparameters)

    def __init__(self, oracle):
        super().__init__(oracle)


def closed_tuner():
    """A ready tuner whose search space is given and closed."""
    hp = ktcomponent.HyperParameters()
    hp.Float("x", -1, 1)
    oracle = ktcomponent.oracles.RandomSearchOracle(
        max_trials=4, seed=1, hyperparameters=hp, allow_new_entries=False, tune_new_entries=False
    )

    class Closed(ktcomponent.Tuner):
        def run_trial(self, trial):
            return trial.hyperparameters["x"]

    return Closed(oracle)


def dependent_domain(hp):
    n = hp.Int("n", 1, 9)
    return float(n + hp.Int("k", 1, 2 * n))


class NeedsArgument(ktcomponent.HyperModel):
    def __init__(self, classes):
        super().__init__()


class Search(ktcomponent.RandomSearch):
    pass


def overwriting_tuner():
    class Own(ktcomponent.Tuner):
        def run_trial(self, trial):
            return objective(trial.hyperparameters)

    return Own(ktcomponent.oracles.RandomSearchOracle(max_trials=4, seed=1), overwrite=True)


class Reporting(ktcomponent.oracles.RandomSearchOracle):
    """Overrides `update_trial`, so every report is a commit."""

    def __init__(self, **kwargs):
        super().__init__(max_trials=1, seed=1)

    def update_trial(self, trial_id, metrics, step=0):
        return super().update_trial(trial_id, metrics, step)


class ReportsAndDies(FileTuner):
    """Reports -100 and is killed; its next attempt reports 5."""

    def run_trial(self, trial):
        attempts = len(list(pathlib.Path().glob("reported-*")))
        pathlib.Path(f"reported-{attempts}").write_text("")
        self.oracle.update_trial(trial.trial_id, {"default_objective": 5.0 if attempts else -100.0})
        if not attempts:
            os.kill(os.getpid(), signal.SIGKILL)


def short_nap(hp):
    time.sleep(0.05)
    return objective(hp)
