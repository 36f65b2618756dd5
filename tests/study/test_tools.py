"""The tools that look after a study, as a user calls them."""

import json
import os
import stat

import pytest

from ktcomponent.cli import main
from ktcomponent.errors import ConfigurationError
from ktcomponent.oracles import GridSearchOracle, HyperbandOracle
from ktcomponent.storage import open_storage
from ktcomponent.study import Study, Writer, incarnations, layout
from ktcomponent.study.binding import bind
from ktcomponent.study.enqueue import enqueue
from ktcomponent.study.study import Draft
from tests.study.faulty import FaultyStorage, Worker, make_oracle
from tests.study.test_search_on_a_study import drain, run_one


@pytest.fixture
def study(tmp_path):
    storage = open_storage(tmp_path / "study")
    Worker(storage, "first", tmp_path / "work").run()
    return str(tmp_path / "study")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


def test_history_and_show_tell_what_was(study, capsys):
    code, out, _ = run(capsys, "study", "history", study, "--json")
    commits = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [c["commit"] for c in commits] == list(range(1, len(commits) + 1))
    assert commits[0]["what"] == "create"
    second = next(c["commit"] for c in commits if c["what"] == "finish") + 1
    _, out, _ = run(capsys, "study", "show", study, "--at", second, "--json")
    told = json.loads(out)
    assert (told["commit"], told["trials"]["completed"]) == (second, 1)
    code, _, err = run(capsys, "study", "show", study, "--at", 10_000)
    assert code == 2
    assert "has the commits 1 to" in err


def test_copy_and_verify(study, tmp_path, capsys):
    assert run(capsys, "study", "copy", study, tmp_path / "copy")[0] == 0
    code, out, _ = run(capsys, "study", "verify", tmp_path / "copy", "--json")
    assert (code, json.loads(out)["problems"]) == (0, [])
    assert Study.open(open_storage(tmp_path / "copy")).state == Study.open(open_storage(study)).state
    for again in (study, tmp_path / "copy"):
        code, _, err = run(capsys, "study", "copy", study, again)
        assert code == 2
        assert "Copy to an empty place" in err


def test_repair_gives_up_what_is_lost_and_leaves_the_damaged_study_alone(study, tmp_path, capsys):
    storage = open_storage(study)
    files = [key for key in storage.list("trials") if key.endswith("model.bin")]
    storage.delete(files[0])
    storage.delete(storage.list("log")[2])
    before = {key: storage.get(key) for key in storage.list("")}
    assert run(capsys, "study", "verify", study)[0] == 2
    code, out, _ = run(capsys, "study", "repair", study, "--to", tmp_path / "mended")
    assert code == 0
    assert "restored from its segment" in out
    assert files[0] in out
    assert run(capsys, "study", "verify", tmp_path / "mended")[0] == 0
    assert {key: storage.get(key) for key in storage.list("")} == before
    assert run(capsys, "study", "repair", study, "--to", study)[0] == 2


def test_gc_removes_leftovers_and_nothing_else(study, capsys):
    storage = open_storage(study)
    before = storage.list("")
    leftovers = [layout.attempt_file(1, "0", 1, "resume/00.json"), layout.beat(1, "0", 1), "probes/1-a"]
    for key in leftovers:
        storage.put(key, b"x")
    live = layout.attempt_file(1, "99", 1, "resume/00.json")
    storage.put(live, b"x")
    assert "3 objects would be removed" in run(capsys, "study", "gc", study, "--dry-run")[1]
    assert run(capsys, "study", "gc", study)[0] == 0
    assert storage.list("") == sorted([*before, live])


def test_read_only_commands_write_nothing(study, capsys):
    folder = open_storage(study).root
    before = sorted(os.walk(folder))
    for path, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.chmod(os.path.join(path, name), stat.S_IRUSR | stat.S_IXUSR)
    for command in (["status"], ["study", "verify"], ["study", "history"], ["study", "gc", "--dry-run"]):
        assert run(capsys, *command, study)[0] == 0
    assert run(capsys, "study", "show", study, "--at", 3)[0] == 0
    for path, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.chmod(os.path.join(path, name), 0o700)
    assert sorted(os.walk(folder)) == before


def test_a_credential_on_the_command_line_is_refused(study, capsys):
    for options in ('{"secret": "hunter22"}', '{"client_kwargs": {"aws_secret_access_key": "hunter22"}}'):
        code, _, err = run(capsys, "status", study, "--storage-options", options)
        assert code == 2
        assert "doesn't belong on a command line" in err
        assert "hunter22" not in err


# -- enqueue -----------------------------------------------------------------------------------------------


def bound(oracle, storage, owner="w"):
    bind(oracle, storage, Writer(owner, incarnations.new_incarnation()))
    return oracle


def ask(storage, values):
    return enqueue(Study.open(storage), Writer("person", "p"), values)


def test_enqueued_values_are_tried_first_and_once(storage):
    oracle = bound(make_oracle(), storage)
    run_one(oracle)
    ask(storage, {"x": 0.25})
    ask(storage, {"x": 0.75})
    values = [v["x"] for v in drain(oracle)]
    assert values[:2] == [0.25, 0.75]
    assert len(set(values)) == len(values)
    assert Study.open(storage).state.queue == []


@pytest.mark.parametrize("values", [{"y": 1}, {"x": 2.0}, {"x": "a"}, {"x": True}, {"x": None}])
def test_values_outside_the_space_are_refused(storage, values):
    bound(make_oracle(), storage)
    with pytest.raises(ConfigurationError, match="Nothing was enqueued"):
        ask(storage, values)


def test_no_more_is_enqueued_than_the_search_has_room_for(storage):
    oracle = bound(make_oracle(), storage)
    for n in range(oracle.max_trials):
        ask(storage, {"x": n / 100})
    with pytest.raises(ConfigurationError, match="no room"):
        ask(storage, {"x": 0.99})
    drain(oracle)
    with pytest.raises(ConfigurationError, match=r"no room|over"):
        ask(storage, {"x": 0.99})


@pytest.mark.parametrize("values", [{"a": 3, "b": "y"}, {"a": 2}, {"a": 1, "b": "x"}])
@pytest.mark.parametrize("after", [0, 2])
def test_a_grid_is_whole_with_enqueued_trials_in_it(storage, values, after):
    oracle = GridSearchOracle("loss")
    oracle.hyperparameters.Int("a", 1, 3)
    oracle.hyperparameters.Choice("b", ["x", "y"])
    bound(oracle, storage)
    tried = [dict(run_one(oracle).hyperparameters.values) for _ in range(after)]
    ask(storage, values)
    tried += drain(oracle)
    assert {(v["a"], v["b"]) for v in tried} == {(a, b) for a in (1, 2, 3) for b in "xy"}
    assert len(tried) <= 7  # one may be asked for that was tried already


def test_hyperband_keeps_its_brackets_with_enqueued_trials(storage):
    def make():
        oracle = HyperbandOracle("loss", max_epochs=9, seed=2)
        oracle.hyperparameters.Float("x", 0, 1)
        return oracle

    oracle = bound(make(), storage)
    run_one(oracle)
    ask(storage, {"x": 0.5})
    values = drain(oracle)
    assert values[0] == {"x": 0.5, "tuner/epochs": 9, "tuner/initial_epoch": 0}
    places = [(v["tuner/bracket"], v["tuner/round"]) for v in values[1:]]
    alone = [(v["tuner/bracket"], v["tuner/round"]) for v in drain(make())]
    assert places == alone[1:]


# -- versions ------------------------------------------------------------------------------------------------


def test_two_versions_that_alternate_lose_nothing(tmp_path, monkeypatch):
    """A later version keeps more in the document, in records and in entries, and has another fold."""
    from ktcomponent.study import snapshots, state
    from ktcomponent.trial import Trial

    path = f"memory:/{tmp_path}"
    record = Trial.to_record
    for n in range(10):
        later = n % 2 == 1
        with monkeypatch.context() as patch:
            patch.setattr(snapshots, "SPACING", 8)
            if later:
                patch.setattr(state, "FOLD_VERSION", 99)
                patch.setattr(snapshots, "FOLD_VERSION", 99)
                patch.setattr(Trial, "to_record", lambda self: {**record(self), "cost": 1.5})
            oracle = make_oracle()
            oracle.max_trials = 10
            storage = open_storage(path)
            bind(oracle, storage, Writer(f"v{n}", incarnations.new_incarnation()))
            if later:
                patch_of_later = [["set", ["oracle", f"later-{n}"], n], ["set", ["config", "shiny"], n]]
                oracle._ledger.study.commit(
                    Writer("later", "i"),
                    lambda _, p=patch_of_later: Draft("config", patch=p, extra={"new": 1}),
                )
            run_one(oracle)
    state_now = Study.open(open_storage(path)).state
    assert len(state_now.trials) == 10
    assert {lease["state"] for lease in state_now.leases.values()} == {"ended"}
    assert sum("cost" in trial for trial in state_now.trials.values()) == 5
    assert {f"later-{n}" for n in (1, 3, 5, 7, 9)} <= set(state_now.document["oracle"])
    assert state_now.config["shiny"] == 9


# -- keep_checkpoints ----------------------------------------------------------------------------------------


def test_checkpoints_of_all_but_the_best_go(tmp_path):
    storage = FaultyStorage(str(tmp_path))
    Worker(storage, "first", tmp_path).run()
    state = Study.open(storage).state
    dropped = [i for i, lease in state.leases.items() if "dropped" in lease]
    assert len(dropped) == len(state.trials) - 2
    models = [key for key in storage.list("trials") if key.endswith("model.bin")]
    assert len(models) == 2
    assert len([key for key in storage.list("trials") if key.endswith("history.json")]) == len(state.trials)


def test_hyperband_needs_the_models_of_unfinished_brackets_only(storage):
    oracle = HyperbandOracle("loss", max_epochs=9, seed=2)
    oracle.hyperparameters.Float("x", 0, 1)
    bound(oracle, storage)
    for _ in range(5):
        run_one(oracle)
    assert len(oracle.needed_trials()) == 5
    drain(oracle)
    assert oracle.needed_trials() == set()
