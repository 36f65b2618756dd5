"""`ktcomponent step`: batches, exit codes, what trials come to, and losing its child. Real processes."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ktcomponent.storage import open_storage
from tests.step.steps import TWELVE, oracle, running, statuses, wait_until


def test_batches_run_until_the_search_is_over(commands):
    for expected in (5, 10, 12):
        code, output = commands.step("--oracle", TWELVE, "--batch-size", "5")
        assert code == 0, output
        assert len(commands.open().state.trials) == expected
        assert output.count("trial ") >= expected % 5
    assert commands.step("--oracle", TWELVE)[0] == 99
    study = commands.open()
    assert statuses(study) == ["COMPLETED"] * 12
    assert study.state.seq == 1 + 3 + 24 + 1


@pytest.mark.slow
def test_a_study_may_lie_on_object_storage(commands, s3):
    commands.study = f"{s3}/studies/{commands.folder.name}"
    both = [
        commands.start(
            "step", "--study", commands.study, "--hypermodel", "fast:objective", "--oracle", TWELVE
        )
        for _ in range(2)
    ]
    for step in both:
        output, _ = step.communicate(timeout=120)
        assert step.returncode in (0, 99), output
    told = json.loads(commands.run("status", commands.study, "--json")[1])
    assert (told["status"], told["trials"]["completed"]) == ("done", 12)
    code, output = commands.run("export", commands.study, "--to", f"{commands.study}-export")
    assert code == 0, output
    server = os.environ["FSSPEC_S3_ENDPOINT_URL"]
    assert open_storage(f"{commands.study}-export", endpoint_url=server).get("manifest.json") is not None


def test_a_line_a_trial_without_control_characters(commands):
    _, output = commands.step("--oracle", TWELVE, "--batch-size", "3")
    lines = output.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"trial {n} of 12" for n in (1, 2, 3)]
    assert all("default_objective" in line and "best" in line and "left" in line for line in lines)
    assert all(c.isprintable() or c == "\n" for c in output)


def test_a_notebook_and_steps_share_one_search(commands):
    commands.step("--oracle", TWELVE, "--batch-size", "4")
    code = (
        "from ktcomponent.oracles import RandomSearchOracle; from ktcomponent import Tuner; import fast, sys\n"
        "class T(Tuner):\n"
        "    def run_trial(self, trial): return fast.objective(trial.hyperparameters)\n"
        "t = T(RandomSearchOracle(max_trials=12), directory=sys.argv[1], project_name='study')\n"
        "t.search(); print(len(t.oracle.trials), t.get_best_hyperparameters()[0].values)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(commands.folder)], env=commands.env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "12 {'x':" in done.stdout
    assert commands.step("--oracle", TWELVE)[0] == 99


def test_search_arguments_reach_a_black_box_and_json_is_laid_over_them(commands):
    code, output = commands.step(
        "--oracle", oracle(max_trials=2), "--search-args", "fast:load", "--search-kwargs", '{"scale": 100.0}',
        hypermodel="fast:with_data",
    )  # fmt: skip
    assert code == 0, output
    study = commands.open()
    assert {t["score"] == pytest.approx(300 * t["values"]["x"]) for t in study.state.trials.values()} == {
        True
    }
    assert study.state.config["kind"] == "black box"


def test_conditional_hyperparameters_of_a_black_box_are_found_as_trials_see_them(commands):
    assert commands.step("--oracle", TWELVE, hypermodel="fast:conditional")[0] == 0
    seen = {frozenset(t["values"]) for t in commands.open().state.trials.values()}
    assert seen == {frozenset({"kind", "of_a"}), frozenset({"kind", "of_b"})}


def test_an_objective_that_is_no_number_is_a_failed_trial(commands):
    code, output = commands.step(
        "--oracle", oracle(max_trials=10, max_consecutive_failed_trials=9), hypermodel="fast:sometimes_nan"
    )
    assert code == 0, output
    failed = [t for t in commands.open().state.trials.values() if t["status"] == "FAILED"]
    assert [t["values"] for t in failed] == [{"k": 4}]


def test_too_many_failures_stop_the_search_and_a_retry_does_not_help(commands):
    code, output = commands.step("--oracle", TWELVE, hypermodel="fast:failing")
    assert code == 2
    assert "a bug in user code" in output
    study = commands.open()
    assert statuses(study) == ["FAILED"] * 3
    assert study.state.stop["reason"] == "3 trials in a row failed"
    assert "a bug in user code" in study.state.trials["00"]["message"]
    assert commands.step("--oracle", TWELVE, hypermodel="fast:failing")[0] == 99


def test_an_objective_that_kills_its_process_fails_after_max_attempts_and_the_search_goes_on(commands):
    code, output = commands.step(
        "--oracle",
        oracle(max_trials=6),
        hypermodel="fast:deadly",
    )
    assert code == 0, output
    study = commands.open()
    by_value = {t["values"]["v"]: t for t in study.state.trials.values()}
    if 3 not in by_value:
        pytest.fail("the seed must propose the deadly value")
    deadly = by_value.pop(3)
    assert deadly["status"] == "FAILED"
    assert "vanished 3 times" in deadly["message"]
    assert {t["status"] for t in by_value.values()} == {"COMPLETED"}


def test_two_steps_at_once_run_each_trial_once(commands):
    settings = oracle(max_trials=40)
    calls = commands.folder / "calls"
    steps = [
        commands.start(
            "step",
            "--study",
            commands.study,
            "--hypermodel",
            "fast:objective",
            "--oracle",
            settings,
            CALLS=str(calls),
        )
        for _ in range(2)
    ]
    for step in steps:
        output, _ = step.communicate(timeout=120)
        assert step.returncode in (0, 99), output
    study = commands.open()
    assert statuses(study) == ["COMPLETED"] * 40
    assert {lease["attempt"] for lease in study.state.leases.values()} == {1}
    assert len(calls.read_text().splitlines()) == 40
    assert len({t["values"]["x"] for t in study.state.trials.values()}) == 40


def test_the_output_of_a_trial_may_lose_its_reader(commands):
    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:chatty", "--oracle", oracle(max_trials=3)
    )
    step.stdout.readline()
    step.stdout.close()
    step.wait(60)
    assert statuses(commands.open()) == ["COMPLETED"] * 3


def test_status_tells_what_happened(commands):
    commands.step("--oracle", TWELVE, "--batch-size", "2")
    told = json.loads(commands.run("status", commands.study, "--json")[1])
    assert told["trials"] == {
        "completed": 2, "failed": 0, "running": 0, "stale": 0, "waiting": 0, "total": 2, "planned": 12,
    }  # fmt: skip
    assert told["status"] == "running"
    assert set(told["best"]) == {"trial_id", "score", "values"}
    assert "2 of 12 planned" in commands.run("status", commands.study)[1]
    assert commands.run("stop", commands.study, "--reason", "enough")[0] == 0
    told = json.loads(commands.run("status", commands.study, "--json")[1])
    assert (told["status"], told["stop"]["reason"]) == ("done", "enough")


def test_nothing_is_left_in_the_temporary_folder(commands):
    scratch = commands.folder / "scratch"
    scratch.mkdir()
    commands.step("--oracle", TWELVE, "--batch-size", "2", TMPDIR=str(scratch))
    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:sleepy", TMPDIR=str(scratch)
    )
    running(commands)
    os.kill(step.pid, signal.SIGKILL)
    step.wait()
    wait_until(lambda: not list(scratch.iterdir()), 5)


@pytest.mark.parametrize("how", ["fast:exits_0", "fast:exits_1", "fast:exits_2", "fast:exits_99"])
def test_user_code_that_ends_its_process_does_not_pass_for_a_finished_batch(commands, how):
    code, output = commands.step(
        "--oracle", oracle(max_trials=2, max_consecutive_failed_trials=5), hypermodel=how
    )
    assert code == 0, output
    study = commands.open()
    assert statuses(study) == ["COMPLETED", "FAILED"]
    assert "vanished 3 times" in study.state.trials["1"]["message"]


def test_sys_exit_in_a_trial_fails_the_trial(commands):
    code, output = commands.step(
        "--oracle", oracle(max_trials=2, max_consecutive_failed_trials=5), hypermodel="fast:sys_exits"
    )
    assert code == 0, output
    assert statuses(commands.open()) == ["FAILED"] * 2


def test_a_child_killed_before_it_is_ready_is_told(commands):
    (commands.folder / "suicidal.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    code, output = commands.step("--oracle", TWELVE, hypermodel="suicidal:build")
    assert code == 1
    assert "SIGKILL" in output
    assert not os.path.exists(commands.study)


def test_user_code_that_closes_all_files_ends_no_step(commands):
    (commands.folder / "closing.py").write_text(
        "import os\ndef objective(hp):\n    os.closerange(3, 4096)\n    return hp.Float('x', 0, 1)\n"
    )
    code, output = commands.step("--oracle", TWELVE, "--batch-size", "2", hypermodel="closing:objective")
    assert (code, statuses(commands.open())) == (0, ["COMPLETED"] * 2), output


def test_files_of_a_lost_attempt_are_not_taken_for_the_next_ones(commands):
    code, output = commands.step("--oracle", oracle(max_trials=1), hypermodel="fast:FileTuner")
    assert code == 0, output
    lease = commands.open().state.leases["0"]
    assert lease["attempt"] == 2
    assert [f["name"] for f in lease["files"]] == ["attempt-2"]


def test_a_study_with_a_closed_space_goes_on(commands):
    for expected in (0, 0, 99):
        assert commands.step("--batch-size", "2", hypermodel="fast:closed_tuner")[0] == expected
    assert "4 of 4" in commands.run("status", commands.study)[1]


def test_a_tuner_that_overwrites_does_so_in_notebooks_only(commands):
    assert commands.step("--batch-size", "2", hypermodel="fast:overwriting_tuner")[0] == 0
    code, output = commands.step("--batch-size", "2", hypermodel="fast:overwriting_tuner")
    assert (code, "`overwrite=True` is for notebooks" in output) == (0, True)
    state = commands.open().state
    assert (state.generation, len(state.trials)) == (1, 4)


def test_a_domain_that_depends_on_other_values_is_no_mistake(commands):
    code, output = commands.step("--oracle", oracle(max_trials=8, seed=2), hypermodel="fast:dependent_domain")
    assert code == 0, output
    study = commands.open()
    assert statuses(study) == ["COMPLETED"] * 8
    assert study.state.config["dynamic"] == ["k"]


def test_committed_reports_of_a_lost_attempt_do_not_count_in_the_next(commands):
    code, output = commands.step("--oracle", '{"class": "fast:Reporting"}', hypermodel="fast:ReportsAndDies")
    assert code == 0, output
    assert [t["score"] for t in commands.open().state.trials.values()] == [5.0]


@pytest.mark.slow
class TestWithKeras:
    """Steps that train models."""

    def step(self, commands, name, *options):
        settings = json.dumps({"objective": "val_loss", "max_trials": 4, "seed": 1})
        return commands.step(
            "--oracle", settings, "--search-args", "models:load", *options, hypermodel=f"models:{name}"
        )

    def test_a_users_own_fit_gets_what_the_user_passed_and_nothing_else(self, commands):
        code, output = self.step(commands, "OwnFit", "--batch-size", "1")
        assert code == 0, output
        assert statuses(commands.open()) == ["COMPLETED"]

    def test_a_changed_domain_behind_a_condition_is_refused_before_a_claim(self, commands):
        assert self.step(commands, "hidden_domain", "--batch-size", "1")[0] == 0
        head = commands.open().state.seq
        code, output = self.step(commands, "hidden_domain_changed", "--batch-size", "1")
        assert (code, "'units': max_value is 64 there and 256 here" in output) == (2, True)
        assert commands.open().state.seq == head

    def test_a_model_that_some_values_break_is_tuned_over_the_others(self, commands):
        code, output = self.step(commands, "breaks_when_hidden", "--batch-size", "1")
        assert code == 0, output
        assert "was not explored" in output
        assert statuses(commands.open()) == ["COMPLETED"]
        assert self.step(commands, "breaks_when_hidden", "--batch-size", "1")[0] == 0
