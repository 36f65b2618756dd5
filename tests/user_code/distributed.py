"""Programs with a `tf.distribute.Strategy`; each needs a process of its own.

distributed.py mirrored FOLDER               trains on two devices of one machine
distributed.py workers FOLDER INDEX PORTS    one of two workers that train together
"""

import json
import os
import sys


def mirrored(folder):
    import keras
    import models
    import tensorflow as tf

    import ktcomponent

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    scopes = []

    class Watching(ktcomponent.HyperModel):
        def build(self, hp):
            scopes.append(("build", tf.distribute.get_strategy() is strategy))
            return models.build(hp)

        def fit(self, hp, model, *args, **kwargs):
            scopes.append(("fit", tf.distribute.get_strategy() is strategy))
            scopes.append(("variables", len(model.weights) == 0 or is_mirrored(model)))
            return model.fit(*args, **kwargs)

    def is_mirrored(model):
        return type(model.weights[0].value).__name__ == "MirroredVariable"

    tuner = ktcomponent.RandomSearch(
        Watching(),
        "val_loss",
        max_trials=2,
        seed=1,
        directory=folder,
        project_name="p",
        optimizer=keras.optimizers.SGD(0.01),
        distribution_strategy=strategy,
    )
    (x, y), fit = models.load()
    discovered = len(scopes)
    tuner.search(x, y, batch_size=16, verbose=0, **fit)
    assert dict(scopes[discovered:]) == {"build": True, "fit": True, "variables": True}, scopes
    model = tuner.get_best_models()[0]
    assert is_mirrored(model)
    assert strategy.num_replicas_in_sync == 2
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    print(json.dumps({"statuses": statuses, "score": float(model.evaluate(x, y, verbose=0))}))


def workers(folder, index, ports):
    addresses = [f"127.0.0.1:{port}" for port in ports.split(",")]
    task = {"type": "worker", "index": int(index)}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    import tensorflow as tf

    import ktcomponent

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    ended = []

    class Together(ktcomponent.Tuner):
        def run_trial(self, trial, **kwargs):
            x = trial.hyperparameters.Float("x", 0.0, 1.0)

            @tf.function
            def add_up():
                return tf.distribute.get_replica_context().all_reduce("sum", tf.constant(x))

            return {"loss": float(strategy.run(add_up))}

        def on_trial_end(self, trial):
            ended.append((trial.trial_id, trial.hyperparameters.get("x")))
            super().on_trial_end(trial)

    oracle = ktcomponent.oracles.RandomSearchOracle("loss", max_trials=4, seed=1)
    tuner = Together(
        oracle, directory=folder, project_name="p", tuner_id="job", distribution_strategy=strategy
    )
    tuner.search(verbose=0)
    print(json.dumps({"reports": oracle.should_report, "ended": ended}))


if __name__ == "__main__":
    {"mirrored": mirrored, "workers": workers}[sys.argv[1]](*sys.argv[2:])
