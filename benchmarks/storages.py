"""One trial at the end of a long search, and opening that search: ours beside Optuna's and KerasTuner's, in one run.

Each keeps a study of n finished trials with 8 hyperparameters; then trials are claimed and finished, and the study is
opened in the same process. All lie on local disk, ours on an S3 server (moto, on this machine) too. Building the study
is not measured, and written without syncing. Ours and Optuna's journal sync every write; SQLite as Optuna configures
it; KerasTuner writes its files without syncing. "Requests" are objects and listings, and KerasTuner's files.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ktcomponent.oracles import RandomSearchOracle
from ktcomponent.storage import LocalStorage, MemoryStorage, Storage, open_storage
from ktcomponent.study import Study, StudyLedger, Writer, incarnations
from ktcomponent.study.binding import bind, kept_oracle

SIZES = (100, 1_000, 10_000)
TRIALS = 32
"""64 commits, so each has its share of what is written once in so many."""
OPENINGS = 3
PARAMETERS = 8
MOST_OPENING_S = 1.0
MOST_GROWTH = 1.5
"""Of the bytes and requests a trial, from the shortest search to the longest."""
UPLOADS = 64


class Counting(Storage):
    """Another storage, whose objects and bytes that are written and read are counted."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage.url)
        self._storage = storage
        self.requests, self.written, self.read = 0, 0, 0

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.requests, self.written = self.requests + 1, self.written + len(data)
        return self._storage.put_if_absent(key, data)

    def put(self, key: str, data: bytes) -> None:
        self.requests, self.written = self.requests + 1, self.written + len(data)
        self._storage.put(key, data)

    def get_many(self, keys: Sequence[str], limit: int | None = None) -> list[bytes | None]:
        found = self._storage.get_many(keys, limit)
        self.requests += len(found)
        self.read += sum(len(data) for data in found if data is not None)
        return found

    def list(self, prefix: str) -> list[str]:
        self.requests += 1
        return self._storage.list(prefix)

    def delete(self, key: str) -> None:
        self.requests += 1
        self._storage.delete(key)

    def check_writable(self) -> None:
        self._storage.check_writable()

    def side_by_side(self, actions: Sequence[Callable[[], Any]]) -> Sequence[Any]:
        return self._storage.side_by_side(actions)


def ours(n: int, folder: Path) -> dict[str, float]:
    for key, data in _built(n).items():
        path = folder / "study" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return _measure(Counting(LocalStorage(folder / "study")))


def ours_on_s3(n: int, folder: Path) -> dict[str, float]:
    storage = open_storage(f"s3://bucket/{folder.name}")
    objects = list(_built(n).items())
    for first in range(0, len(objects), UPLOADS):
        batch = objects[first : first + UPLOADS]
        storage.side_by_side([functools.partial(storage.put, key, data) for key, data in batch])
    return _measure(Counting(storage))


@functools.cache
def _built(n: int) -> Mapping[str, bytes]:
    """The objects of a study with n finished trials."""
    memory = MemoryStorage(f"bench-{n}")
    oracle = _oracle()
    ledger = bind(oracle, memory, Writer("maker", incarnations.new_incarnation()))
    for _ in range(n):
        _one_trial(oracle)
    ledger.close("built")
    return {key: memory.get(key) or b"" for key in memory.list("")}


def _measure(storage: Counting) -> dict[str, float]:
    study = Study.open(storage)
    opened = storage.requests, storage.read
    opening = _median(lambda: Study.open(storage), OPENINGS)
    began = time.perf_counter()
    oracle = kept_oracle(study.state)
    ledger = StudyLedger(study, oracle, Writer("bench", incarnations.new_incarnation()))
    ledger.refresh()
    oracle.bind(ledger)
    binding = time.perf_counter() - began
    ledger.open()
    storage.requests, storage.written = 0, 0
    took = _median(lambda: _one_trial(oracle))
    return {
        "claim + finish ms": 1000 * took,
        "requests": storage.requests / TRIALS,
        "written KB": storage.written / TRIALS / 1000,
        "opening s": opening,
        "its requests": opened[0],
        "read KB": opened[1] / 1000,
        "oracle s": binding,
    }


def optuna_journal(n: int, folder: Path) -> dict[str, float]:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / "journal.log"

    def storage() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(path)))

    return _optuna(n, storage, storage, path)


def optuna_sqlite(n: int, folder: Path) -> dict[str, float]:
    import sqlalchemy
    from optuna.storages import RDBStorage

    path = folder / "study.db"

    def storage() -> RDBStorage:
        return RDBStorage(f"sqlite:///{path}")

    def unsynced() -> RDBStorage:
        made = storage()
        sqlalchemy.event.listen(
            made.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF")
        )
        made.engine.dispose()
        return made

    return _optuna(n, unsynced, storage, path)


def _optuna(n: int, building: Callable[[], Any], storage: Callable[[], Any], path: Path) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {f"p{i}": optuna.distributions.FloatDistribution(0, 1) for i in range(PARAMETERS)}
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(storage=building(), study_name="bench", sampler=sampler)
    with _unsynced():
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: random.random() for name in space},
                    distributions=space,
                    value=random.random(),
                )
                for _ in range(n)
            ]
        )

    def load() -> Any:
        loaded = optuna.load_study(storage=storage(), study_name="bench", sampler=sampler)
        if len(loaded.get_trials(deepcopy=False)) != n:
            raise AssertionError(n)
        return loaded

    opening = _median(load, OPENINGS)
    study = load()
    before = path.stat().st_size

    def one() -> None:
        trial = study.ask(space)
        study.tell(trial, random.random())

    took = _median(one)
    return {
        "claim + finish ms": 1000 * took,
        "written KB": (path.stat().st_size - before) / TRIALS / 1000,
        "opening s": opening,
        "read KB": before / 1000,
    }


def keras_tuner(n: int, folder: Path) -> dict[str, float]:
    import keras_tuner as other

    def make() -> Any:
        hp = other.HyperParameters()
        for i in range(PARAMETERS):
            hp.Float(f"p{i}", 0, 1)
        oracle = other.oracles.RandomSearchOracle(
            other.Objective("loss", "min"), max_trials=n + 10 * TRIALS, hyperparameters=hp, seed=1
        )
        oracle._set_project_dir(str(folder), "kt")
        return oracle

    oracle = make()
    oracle.save = lambda: None
    keep = oracle._save_trial
    oracle._save_trial = lambda _: None

    def one() -> None:
        trial = oracle.create_trial("t")
        oracle.update_trial(trial.trial_id, {"loss": random.random()})
        trial = oracle.get_trial(trial.trial_id)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)

    for _ in range(n):
        one()
    del oracle.save, oracle._save_trial
    for trial in oracle.trials.values():
        keep(trial)
    oracle.save()
    from keras_tuner.src import utils

    save, load = utils.save_json, utils.load_json
    written, read = [], []

    def counted_save(path: str, obj: Any) -> Any:
        result = save(path, obj)
        written.append(os.path.getsize(path))
        return result

    def counted_load(path: str) -> Any:
        read.append(os.path.getsize(path))
        return load(path)

    utils.save_json, utils.load_json = counted_save, counted_load
    try:
        took = _median(one)
        opening = _median(lambda: make().reload(), OPENINGS)
    finally:
        utils.save_json, utils.load_json = save, load
    return {
        "claim + finish ms": 1000 * took,
        "requests": len(written) / TRIALS,
        "written KB": sum(written) / TRIALS / 1000,
        "opening s": opening,
        "its requests": len(read) / OPENINGS,
        "read KB": sum(read) / OPENINGS / 1000,
    }


def _oracle() -> RandomSearchOracle:
    oracle = RandomSearchOracle("loss", max_trials=100_000, seed=1)
    for i in range(PARAMETERS):
        oracle.hyperparameters.Float(f"p{i}", 0, 1)
    return oracle


def _one_trial(oracle: RandomSearchOracle) -> None:
    trial = oracle.create_trial("t")
    oracle.update_trial(trial.trial_id, {"loss": random.random()})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def _median(action: Callable[[], Any], count: int = TRIALS) -> float:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@contextlib.contextmanager
def _unsynced() -> Iterator[None]:
    """While a study is built nothing is synced."""
    synced = os.fsync
    os.fsync = lambda _: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = synced


SIDES = {
    "ktcomponent": ours,
    "ktcomponent, S3": ours_on_s3,
    "Optuna journal": optuna_journal,
    "Optuna SQLite": optuna_sqlite,
    "KerasTuner": keras_tuner,
}
COLUMNS = ("claim + finish ms", "written KB", "requests", "opening s", "its requests", "read KB", "oracle s")


def main() -> bool:
    print(
        f"One trial at the end of n finished ones, {PARAMETERS} hyperparameters (medians and means of {TRIALS})"
    )
    print(f"{'':>16}{'n':>8}" + "".join(f"{name:>19}" for name in COLUMNS))
    found: dict[tuple[str, int], dict[str, float]] = {}
    with _s3_server():
        for n in SIZES:
            for name, side in SIDES.items():
                folder = Path(tempfile.mkdtemp(prefix="ktcomponent-bench-"))
                try:
                    with contextlib.redirect_stdout(io.StringIO()):  # KerasTuner tells of every trial
                        row = found[name, n] = side(n, folder)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                cells = "".join(f"{row[c]:>19.2f}" if c in row else f"{'':>19}" for c in COLUMNS)
                print(f"{name:>16}{n:>8}{cells}", flush=True)
    mine = [found["ktcomponent", n] for n in SIZES]
    journal = [found["Optuna journal", n] for n in SIZES]
    kept = all(a["claim + finish ms"] < b["claim + finish ms"] for a, b in zip(mine, journal, strict=True))
    kept &= mine[-1]["opening s"] < MOST_OPENING_S
    kept &= found["ktcomponent", 1_000]["its requests"] <= 60
    kept &= all(mine[-1][c] <= MOST_GROWTH * mine[0][c] for c in ("written KB", "requests"))
    print(
        f"Faster than Optuna's journal, opening within {MOST_OPENING_S:g} s, at most 60 requests at 1,000, bytes and "
        f"requests a trial constant: {'kept' if kept else 'BROKEN'}\n"
    )
    return kept


@contextlib.contextmanager
def _s3_server() -> Iterator[None]:
    from fsspec.config import conf, set_conf_env

    from tests import servers

    with tempfile.TemporaryDirectory(prefix="ktcomponent-bench-") as folder:
        server = servers.start("s3", Path(folder))
        before = {name: os.environ.get(name) for name in server.env}
        os.environ.update(server.env)
        set_conf_env(conf)
        try:
            yield
        finally:
            server.stop()
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
