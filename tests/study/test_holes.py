"""What is lost is noticed: nobody reads past a hole, or writes into one."""

import pytest

from ktcomponent.errors import MissingEntry, StorageError
from ktcomponent.storage import MemoryStorage
from ktcomponent.study import Draft, Study, layout, segments
from ktcomponent.study.expiry import Expiry
from ktcomponent.study.reader import Until
from tests.study.faulty import FakeClock
from tests.study.test_study import A1, B1, claim, many, started


def commits(study, number):
    for _ in range(number):
        study.commit(A1, lambda _: Draft("config"))


@pytest.fixture
def memory(tmp_path):
    storage = MemoryStorage(str(tmp_path))
    storage.clock = FakeClock()
    return storage


def test_a_lost_entry_does_not_hide_a_long_log(memory):
    study = many(memory, 200)
    memory.delete(layout.log(segments.SMALL))
    assert Study.open(memory).state == study.state


@pytest.mark.parametrize("lost", [2, 4, 6])
def test_opening_a_short_log_with_a_hole_names_it(memory, lost):
    commits(started(memory, A1), 5)
    memory.delete(layout.log(lost))
    with pytest.raises(MissingEntry, match=rf"log/0+{lost}\.json"):
        Study.open(memory)


@pytest.mark.parametrize("seen", [2, 11, 15, 16])
@pytest.mark.parametrize("writes", [True, False])
def test_who_was_away_finds_a_hole_behind_what_it_has_seen(memory, seen, writes):
    study = started(memory, A1)
    commits(study, seen - study.state.seq)
    away = Study.open(memory)
    commits(study, 2)
    for key in memory.list("segments"):
        memory.delete(key)
    memory.delete(layout.log(seen + 1))
    memory.clock.now += 7200
    act = (lambda: away.commit(A1, lambda _: Draft("config"))) if writes else away.refresh
    with pytest.raises(MissingEntry, match=rf"log/0+{seen + 1}\.json"):
        act()


def test_who_reads_about_to_the_head_does_not_fall_behind_where_nobody_seals(memory):
    study = started(memory, A1)
    watcher = Study.open(memory)
    for _ in range(30):
        commits(study, 40)
        for key in memory.list("segments"):
            memory.delete(key)
        memory.clock.now += 20
        watcher.refresh(Until.ABOUT)
        assert study.state.seq - watcher.state.seq < segments.SMALL


def test_who_lost_twice_asks_for_the_truth(memory):
    """However wrong its idea of the others' pace is."""
    study, other = started(memory, A1, B1), None

    class Racing(MemoryStorage):
        behind = 0

        def put_if_absent(self, key, data):
            if self.behind:
                self.behind -= 1
                commits(other, 100)
            return super().put_if_absent(key, data)

    racing = Racing(memory.url.split("://", 1)[1])
    racing.clock = memory.clock
    other, late = study, Study.open(racing)
    racing.behind = 3
    late.commit(B1, lambda _: Draft("config"))
    assert late.state.seq == study.refresh()[-1]["seq"]


def test_time_without_a_reading_is_not_silence(memory):
    study = started(memory, A1, B1)
    claim(study, A1, "0")

    class Flaky(MemoryStorage):
        looks = 0

        def get_many(self, keys, limit=None):
            if keys and keys[0].startswith("beats/"):
                self.looks += 1
                if self.looks % 2:
                    raise StorageError("down")
            return super().get_many(keys, limit)

    flaky = Flaky(memory.url.split("://", 1)[1])
    flaky.clock = memory.clock
    expiry = Expiry(Study.open(flaky), B1)
    for _ in range(300):
        assert expiry.look() == []
        memory.clock.now += 5
