"""Finding the trials of earlier studies."""

import json

import pytest

from ktcomponent import earlier_trials
from ktcomponent.errors import ConfigurationError
from ktcomponent.objective import DefaultObjective
from ktcomponent.oracles import AshaOracle, BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle
from ktcomponent.step.plan import Plan
from ktcomponent.step.resolve import make_oracle
from ktcomponent.storage import open_storage
from ktcomponent.study import Writer, incarnations
from ktcomponent.study.binding import bind, kept_oracle
from ktcomponent.study.study import Study


def search(url, oracle, value):
    oracle.hyperparameters.Float("x", 0, 1)
    bind(oracle, open_storage(url), Writer("w", incarnations.new_incarnation()))
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        name = oracle.objective.name
        oracle.update_trial(trial.trial_id, {name: value + trial.hyperparameters.get("x")})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def test_a_study_gives_its_completed_trials_best_first(tmp_path):
    search(tmp_path / "s", RandomSearchOracle("loss", max_trials=130, seed=1), 0.0)
    (found,) = earlier_trials(tmp_path / "s")
    scores = [t["score"] for t in found["trials"]]
    assert found["name"].endswith("/s")
    assert scores == sorted(scores)
    assert 80 < len(scores) <= 100
    assert all(t["values"] == {"x": t["score"]} for t in found["trials"])
    # The best fifty all, and of the others some from everywhere.
    assert scores[49] < 0.5
    assert scores[-1] > 0.97


def test_of_a_folder_the_latest_studies_with_the_same_objective_count(tmp_path):
    for day in range(1, 6):
        kind = "scheduled" if day % 2 else "manual"
        objective = {"name": "other" if day == 4 else "loss", "direction": "min"}
        search(
            tmp_path / f"{kind}__2026-01-0{day}T000000",
            RandomSearchOracle(objective, max_trials=2, seed=1),
            float(day),
        )
    (tmp_path / "notes").mkdir()
    found = earlier_trials(tmp_path, "loss")
    assert [int(min(t["score"] for t in study["trials"])) for study in found] == [5, 3, 2]


def test_nothing_is_known_of_an_empty_folder_or_of_none(tmp_path):
    assert earlier_trials([tmp_path, tmp_path / "missing"], "loss") == []


def test_a_study_with_another_objective_is_refused(tmp_path):
    search(tmp_path / "s", RandomSearchOracle("loss", max_trials=1, seed=1), 0.0)
    with pytest.raises(ConfigurationError, match=r"has the objective .*loss"):
        earlier_trials(tmp_path / "s", "val_accuracy")


def test_the_objective_is_told_apart_also_where_it_is_the_default(tmp_path):
    search(
        tmp_path / "runs" / "1",
        RandomSearchOracle({"name": "acc", "direction": "max"}, max_trials=2, seed=1),
        0.0,
    )
    search(tmp_path / "plain", RandomSearchOracle(max_trials=2, seed=1), 0.0)
    assert earlier_trials(tmp_path / "runs", DefaultObjective()) == []
    with pytest.raises(ConfigurationError, match="has the objective"):
        earlier_trials([tmp_path / "plain", tmp_path / "runs" / "1"])


def test_what_can_not_be_read_in_a_folder_is_passed_over(tmp_path, capsys):
    search(tmp_path / "1", RandomSearchOracle("loss", max_trials=2, seed=1), 0.0)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "study.json").write_text("garbage")
    assert len(earlier_trials(tmp_path, "loss")) == 1
    assert "Passed over" in capsys.readouterr().out


def test_a_study_keeps_what_it_began_with(tmp_path):
    search(tmp_path / "old", RandomSearchOracle("loss", max_trials=3, seed=1), 0.0)
    found = earlier_trials(tmp_path / "old")
    search(tmp_path / "new", BayesianOptimizationOracle("loss", max_trials=2, seed=1, earlier=found), 0.0)
    again = BayesianOptimizationOracle("loss", max_trials=3, seed=1)
    search(tmp_path / "new", again, 0.0)
    assert again.earlier == found


def test_a_change_that_can_not_be_leaves_the_study_as_it_is(tmp_path):
    search(tmp_path / "old", RandomSearchOracle("loss", max_trials=3, seed=1), 0.0)
    found = earlier_trials(tmp_path / "old")
    search(tmp_path / "new", AshaOracle("loss", max_epochs=3, max_configurations=2, earlier=found), 0.0)
    with pytest.raises(ConfigurationError, match='needs `sampler="bayesian"`'):
        search(tmp_path / "new", AshaOracle("loss", max_epochs=3, sampler="random"), 0.0)
    kept = kept_oracle(Study.find(open_storage(tmp_path / "new")).state)
    assert (kept.sampler, kept.earlier) == ("bayesian", found)


def test_more_studies_than_count_are_said_to_be_left_out(tmp_path, capsys):
    urls = [tmp_path / f"s{n}" for n in range(7)]
    for url in urls:
        search(url, RandomSearchOracle("loss", max_trials=2, seed=1), 0.0)
    assert len(earlier_trials(urls)) == 5
    assert (
        "Of 5 earlier studies 10 trials are known. The first 5 count: 2 more are left out."
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("oracle", ["RandomSearch", "GridSearch", "Hyperband"])
def test_a_step_refuses_to_begin_with_trials_that_its_oracle_would_not_use(tmp_path, oracle):
    plan = Plan("s", "m:f", oracle={"class": oracle, "objective": "loss"}, warm_start=[str(tmp_path)])
    with pytest.raises(ConfigurationError, match="can't begin with earlier trials"):
        make_oracle(plan, None)


def test_short_trainings_do_not_count(tmp_path):
    search(tmp_path / "s", HyperbandOracle("loss", max_epochs=3, seed=1), 0.0)
    (found,) = earlier_trials(tmp_path / "s")
    assert len(found["trials"]) < 5
    assert set(found["trials"][0]["values"]) == {"x"}


@pytest.mark.slow
def test_a_step_begins_with_what_earlier_runs_found_and_keeps_it(commands, tmp_path):
    runs = tmp_path / "runs"
    spec = json.dumps({"class": "BayesianOptimization", "max_trials": 8, "seed": 3})
    first, second = str(runs / "2026-01-01"), str(runs / "2026-01-02")
    for study in (first, second):
        commands.study = study
        code, output = commands.step("--oracle", spec, "--warm-start", str(runs), "--batch-size", "4")
        assert code == 0, output
    config = commands.open().state.config["oracle"]
    assert [s["name"] for s in config["earlier"]] == [f"file://{first}"]
    whys = [t["why"]["how"] for t in commands.open().state.trials.values()]
    assert "earlier" in whys
    # Later steps of the same study go on with what it has, whatever lies in the folder by now.
    code, output = commands.step("--oracle", spec, "--warm-start", str(runs), "--batch-size", "4")
    assert code == 0, output
    assert commands.open().state.config["oracle"] == config
    assert "settings" not in output
