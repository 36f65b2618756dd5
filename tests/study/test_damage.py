"""Every object of a study damaged, one at a time: a named error or a quiet recovery, never a wrong result."""

import json
import pickle
import resource

import pytest
from click.testing import CliRunner

from ktcomponent.cli import main
from ktcomponent.maintenance.copying import repair
from ktcomponent.maintenance.verify import verify
from ktcomponent.storage import open_storage
from ktcomponent.study import Study
from tests.study.faulty import Worker

HUGE = b'{"a":"' + b"x" * 50_000_000 + b'"}\n'

DAMAGES = {
    "truncated": lambda data, _: data[: len(data) // 2],
    "emptied": lambda data, _: b"",
    "swapped": lambda data, other: other,
    "one bit": lambda data, _: data[:1] + bytes([data[1] ^ 1]) + data[2:],
    "huge": lambda data, _: HUGE,
    "pickle": lambda data, _: pickle.dumps({"study_id": "x"}),
    "binary": lambda data, _: bytes(range(256)) * 4,
    "deep": lambda data, _: b"[" * 200_000,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    storage = open_storage(folder / "study")
    from ktcomponent.study import snapshots

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "SPACING", 8)
        patch.setattr(snapshots, "SHARE", 10**9)
        Worker(storage, "first", folder).run()
    return storage


def keys_of(storage):
    """One of each kind, and of the log the first, one in the middle and the last."""
    log = storage.list("log")
    kinds = {}
    for key in storage.list(""):
        kinds[key.split("/")[0]] = key
    return sorted({*kinds.values(), log[0], log[len(log) // 2]})


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_or_recovered_from(whole, damage, tmp_path, capsys):
    sound = Study.open(whole).state
    for number, key in enumerate(keys_of(whole)):
        storage = open_storage(tmp_path / str(number))
        for name in whole.list(""):
            storage.put(name, whole.get(name))
        log = storage.list("log")
        other = storage.get(log[3] if key != log[3] else log[4])
        storage.put(key, DAMAGES[damage](storage.get(key), other))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(SystemExit) as ended:
            main(["status", str(tmp_path / str(number)), "--json"])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        if ended.value.code == 0:
            assert json.loads(told.out)["commit"] == sound.seq
            assert Study.open(storage).state == sound
        else:
            assert ended.value.code == 2
            assert key.rsplit("/", 1)[-1] in told.err
            assert "repair" in told.err or "backup" in told.err or "Upgrade" in told.err
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
        problems = verify(storage).problems
        assert problems
        assert any(key in name for name, _ in problems)
        mended = open_storage(tmp_path / f"{number}-mended")
        if key != log[0] or damage not in DAMAGES:
            repair(storage, mended)
            assert verify(mended).problems == []


def test_a_bare_log_without_derived_objects_is_the_same_study(whole, tmp_path):
    storage = open_storage(tmp_path / "bare")
    for name in whole.list(""):
        if name.split("/")[0] not in ("snapshots", "segments"):
            storage.put(name, whole.get(name))
    assert Study.open(storage).state == Study.open(whole).state


@pytest.mark.parametrize(
    "name", ["../../up", "a\x00b", "..", "ünï/çode", "x" * 2048, "", "~", "a" * 200 + "~"]
)
def test_names_of_any_kind_stay_inside_the_study(name, tmp_path):
    from ktcomponent.storage.base import check_key
    from ktcomponent.study import layout

    for key in (layout.beat(1, name, 1), layout.attempt_file(1, name, 1, "f"), layout.export(name)):
        assert len(key.split("/")) in (2, 3, 4)
        check_key(key)
        storage = open_storage(tmp_path / "study")
        storage.put(key, b"x")
        assert storage.get(key) == b"x"
    assert [p.name for p in tmp_path.iterdir()] == ["study"]


def test_help_lists_the_tools():
    from ktcomponent.cli import cli

    told = CliRunner().invoke(cli, ["study", "--help"]).output
    for name in ("verify", "history", "enqueue", "show", "repair", "gc", "copy"):
        assert name in told
