"""What the comparison of oracles stands on."""

import json
import math

import numpy as np
import pytest

from benchmarks.search_quality import grids, live, processes, trainings
from benchmarks.search_quality.curves import EPOCHS, SPACE, configurations
from benchmarks.search_quality.multi_fidelity import made
from benchmarks.search_quality.replay import reported, run


@pytest.fixture(scope="module")
def table():
    return reported()


def test_whatever_a_search_proposes_was_trained(table):
    every = configurations(SPACE)
    assert len(every) == len(table.losses) == 540
    curves = [table.curve(values) for values in every]
    assert {len(curve) for curve in curves} == {EPOCHS}
    # The last bit of a grid's numbers does not matter, nor what is not active.
    which = next(n for n, values in enumerate(every) if values["kind"] == "dense")
    off = {name: v * (1 + 1e-12) if isinstance(v, float) else v for name, v in every[which].items()}
    assert table.curve({**off, "filters": 8}).tolist() == curves[which].tolist()
    assert sum(curve[-1] <= table.good() for curve in curves) >= 5


def test_a_replayed_search_trains_as_far_as_its_trials_say(table):
    full = run(made("ktcomponent", "RandomSearchOracle", table, 0, max_trials=3), table)
    assert full["epochs"] == 3 * EPOCHS
    arguments = {"max_epochs": EPOCHS, "max_configurations": 3, "sampler": "random"}
    halved = run(made("ktcomponent", "AshaOracle", table, 0, **arguments), table)
    assert halved["epochs"] == 3 * 2 + (50 - 2)
    assert full["best"] == full["reached"] <= 1.0


def test_a_grid_holds_the_training_of_every_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr(grids, "FOLDER", tmp_path)
    grids.grid.cache_clear()
    with pytest.raises(SystemExit, match="grids first"):
        grids.grid("cancer")
    every = configurations(grids.SPACE)
    assert len(every) == 1134
    rows = [{"values": values, "losses": [n + 2.0, n + 3.0, float(n)]} for n, values in enumerate(every)]
    (tmp_path / "cancer.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = grids.grid("cancer")
    assert [list(table.curve(values)) for values in every] == [[n + 2.0, n + 2.0, n] for n in range(1134)]
    grids.grid.cache_clear()


def test_a_training_learns_from_as_many_as_it_is_told():
    x = np.random.default_rng(0).normal(size=(200, 2))
    values = {
        "units": 8,
        "layers": 1,
        "activation": "relu",
        "optimizer": "adam",
        "decay": 1e-4,
        "batch": 32,
        "rate": 0.1,
    }
    reached = [trainings.Curve((x, (x[:, 0] > 0).astype(int)), values, 0, trained)[9] for trained in (2, 150)]
    assert reached[1] < 0.1 < reached[0]


def test_searches_run_in_processes_of_their_own(monkeypatch):
    for name, value in processes.ONE_THREAD.items():
        monkeypatch.setenv(name, value)  # so that they are as before afterwards
    ended = dict(processes.each(math.sqrt, [4.0, -1.0], workers=1))
    assert ended[4.0] == 2.0
    assert isinstance(ended[-1.0], ValueError)


def test_a_search_in_which_keras_trains_is_the_same_again(monkeypatch, tmp_path):
    monkeypatch.setattr(live, "EPOCHS", 2)
    job = ("BayesianOptimizationOracle", 2, "median", 3)
    found = live.search(job)
    assert found["epochs"] == 4
    assert 0.0 < found["wrong"] < 1.0
    assert 0.0 < found["unseen_wrong"] < 1.0
    assert live.search(job) == found
    monkeypatch.setattr(live, "KEPT", tmp_path / "live.jsonl")
    with pytest.raises(SystemExit, match="not run yet"):
        live.searched(job)
    live.KEPT.write_text(json.dumps(found) + "\n")
    assert live.searched(job) == found
