"""Segments: catching up costs one request a block, and a segment says nothing that the log doesn't."""

import threading
from collections import Counter

import pytest

from ktcomponent.errors import MissingEntry
from ktcomponent.storage import MemoryStorage
from ktcomponent.study import Study, layout, segments, snapshots, upkeep
from ktcomponent.study.study import Draft
from tests.study.test_study import A1, B1, many, started


class Counting(MemoryStorage):
    """Counts requests, and rounds of requests that are on their way at the same time."""

    def __init__(self, path):
        super().__init__(path)
        self.requests = Counter()
        self.rounds = 0
        self._nested = threading.local()

    def _round(self, verb, n=1):
        self.requests[verb] += n
        if not getattr(self._nested, "inside", False):
            self.rounds += 1

    def get_many(self, keys, limit=None):
        self._round("get", len(keys))
        return super().get_many(keys, limit)

    def list(self, prefix):
        self._round("list")
        return super().list(prefix)

    def side_by_side(self, actions):
        self.rounds += 1
        self._nested.inside = True
        try:
            return super().side_by_side(actions)
        finally:
            self._nested.inside = False


@pytest.mark.parametrize("trials", [3, 40, 200, 1000])
def test_opening_takes_at_most_sixty_requests_in_three_rounds(trials, tmp_path):
    study = many(MemoryStorage(str(tmp_path)), trials)
    storage = Counting(str(tmp_path))
    assert Study.open(storage).state == study.state
    assert storage.requests.total() <= 60
    assert storage.rounds <= 3


def test_a_worker_that_was_away_catches_up_with_a_request_a_block(tmp_path):
    storage = MemoryStorage(str(tmp_path))
    study = started(storage, A1)
    counting = Counting(str(tmp_path))
    away = Study.open(counting)
    for _ in range(200):
        study.commit(A1, lambda _: Draft("config"))
    counting.requests.clear()
    away.refresh()
    assert away.state == study.state
    assert counting.requests["get"] <= 200 / segments.LARGE + 20


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d[:-7],
        lambda _: b"",
        lambda d: d + d,
        lambda d: d.replace(b"COMPLETED", b"COMPLETEd", 1),
        lambda _: b"[" * 100000,
    ],
)
def test_a_damaged_segment_is_as_good_as_none(storage, damage):
    study = many(storage, 20)
    for key in storage.list("segments"):
        storage.put(key, damage(storage.get(key)))
    assert Study.open(storage).state == study.state


def test_a_segment_of_another_place_or_study_is_ignored(storage, tmp_path):
    study = many(storage, 20)
    other = MemoryStorage(f"other{tmp_path}")
    many(other, 20)
    first, second, *rest = storage.list("segments")
    storage.put(first, storage.get(second))
    for key in rest:
        storage.put(key, other.get(key))
    assert Study.open(storage).state == study.state


def test_a_block_that_its_writer_did_not_seal_is_sealed_by_the_next_worker(storage):
    study = many(storage, 20)
    lost = layout.segment(9, segments.SMALL)
    kept = storage.get(lost)
    storage.delete(lost)
    late = Study.open(storage)
    assert late.state == study.state
    late.commit(A1, lambda _: Draft("config"))
    assert storage.get(lost) == kept


def test_an_entry_that_is_gone_is_read_from_its_segment_or_named(storage):
    study = many(storage, 20)
    storage.delete(layout.log(5))
    assert Study.open(storage).state == study.state
    for name in storage.list("segments"):
        storage.delete(name)
    with pytest.raises(MissingEntry, match=r"log/0+5\.json"):
        Study.open(storage)


def test_old_snapshots_segments_and_beats_go_and_the_log_stays(storage):
    study = started(storage, A1, B1)
    storage.put(layout.beat(1, "7", 1), b"{}")
    for _ in range(2000):
        study.commit(A1, lambda _: Draft("config"))
    assert len(storage.list("snapshots")) == snapshots.KEPT
    oldest, _, newest = map(snapshots.place_of, storage.list("snapshots"))
    kept = segments.of_keys(storage.list("segments"))
    away = newest - upkeep.COMMITS_KEPT
    assert min(oldest, away) > 0
    for size in (segments.SMALL, segments.LARGE):
        assert min(part.last for part in kept if part.size == size) == min(oldest, away) + size
    assert len(storage.list("log")) == study.state.seq == 2003
    assert storage.list("beats") != []  # of a trial that nobody knows: it may be claimed yet
    assert Study.open(storage).state == study.state
