"""The state of a study, and the rules by which commits change it.

Fencing rests on these rules and not on good manners: `check` says whether a commit is allowed, writers ask it
before they write and readers ask it of every commit they read, so a forbidden commit can't count. What
belongs to leases (who runs which attempt) is changed by the rules alone; a commit's patch reaches only the
document (the configuration and the oracle's state). Nothing here runs an oracle's code.

    trial's lease   running --finish--> ended | retry       running --giveback, takeover, expire--> free
                    none, free, retry --claim--> running    (attempt = last + 1)
                    ended --drop--> ended, without files
    incarnation     takeover opens one and closes the one it replaces; giveback closes
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from ktcomponent.errors import AttemptLost, CorruptEntry, Fenced, Refused, UnsupportedFormat
from ktcomponent.study import layout, patch

FOLD_VERSION = 2
"""Of what a snapshot holds; snapshots of another version are ignored."""

Entry = dict[str, Any]
Lease = dict[str, Any]


@dataclass
class StudyState:
    """What the log says up to commit `seq`.

    Attributes:
        seq: Number of the last commit, 0 before the first.
        last_sha256: SHA-256 of the last commit's stored bytes.
        study_id: From `study.json`.
        generation: One more than the number of resets.
        min_writer: The highest asked for.
        document: `{"config": ..., "oracle": ...}`.
        leases: By trial: state, attempt, losses; until it ends first (the run's first attempt); while running: owner, incarnation, tuner_id, claimed, lease_s;
            when it has ended: by (the incarnation), files, and dropped (the commit) where those were given up.
        owners: By owner: incarnation, open.
        queue: Values that wait to be tried: `{"enqueued": the commit, "values": ...}`.
        stop: Why the search ended, None while it goes on.
        changed: Number of the last commit that changed the document.
    """

    study_id: str
    seq: int = 0
    last_sha256: str = ""
    generation: int = 1
    min_writer: int = 1
    document: dict[str, Any] = field(default_factory=lambda: {"config": {}, "oracle": {}})
    leases: dict[str, Lease] = field(default_factory=dict)
    owners: dict[str, dict[str, Any]] = field(default_factory=dict)
    queue: list[dict[str, Any]] = field(default_factory=list)
    stop: dict[str, Any] | None = None
    changed: int = 0

    def __post_init__(self) -> None:
        # Leases that are not at rest, so that nothing here takes longer the more trials have ended.
        self._active = {t: lease for t, lease in self.leases.items() if lease["state"] != "ended"}

    def to_json(self) -> dict[str, Any]:
        """All of it; `StudyState(**to_json())` is the same state."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.document["config"]
        return config

    @property
    def trials(self) -> dict[str, dict[str, Any]]:
        """The trials' records."""
        trials: dict[str, dict[str, Any]] = self.document["oracle"].get("trials", {})
        return trials

    def running(self) -> dict[str, Lease]:
        return {t: lease for t, lease in self._active.items() if lease["state"] == "running"}

    def held(self, owner: str, incarnation: str | None = None) -> dict[str, int]:
        """The running attempts of an owner (of one incarnation, or of any), by trial."""
        return {
            t: lease["attempt"]
            for t, lease in self._active.items()
            if lease["state"] == "running"
            and lease["owner"] == owner
            and incarnation in (None, lease["incarnation"])
        }

    def finished_by(self, incarnations: Container[str]) -> int:
        """How many trials' last runs ended under one of these incarnations."""
        return sum(lease.get("by") in incarnations for lease in self.leases.values())

    def shortest_lease(self, trials: Iterable[str] | None = None) -> float:
        """The shortest lease in force, in seconds: of the running trials (or of some of them) and of the next claim."""
        leases = self.running()
        running = leases if trials is None else trials
        of_trials = [leases[t]["lease_s"] for t in running if t in leases and leases[t]["lease_s"]]
        return float(min([self.config.get("lease_s", 60), *of_trials]))

    def free(self) -> list[str]:
        """Trials that were given back, in order of their number."""
        return sorted(
            (t for t, lease in self._active.items() if lease["state"] == "free"),
            key=lambda t: (self.trials[t].get("number") or 0, t),
        )

    def set_lease(self, trial: str, lease: Lease) -> None:
        """For the rules alone."""
        self.leases[trial] = lease
        if lease["state"] == "ended":
            self._active.pop(trial, None)
        else:
            self._active[trial] = lease

    def forget_leases(self) -> None:
        """For the rules alone."""
        self.leases, self.owners, self.queue, self.stop, self._active = {}, {}, [], None, {}

    def is_open(self, owner: str, incarnation: str) -> bool:
        known = self.owners.get(owner)
        return known is not None and known["incarnation"] == incarnation and bool(known["open"])


def check(state: StudyState, entry: Entry) -> None:
    """Whether the commit is allowed after `state`.

    Raises:
        Fenced: If its writer has been replaced.
        Refused: If it breaks another rule.
    """
    op = entry["op"]
    if op not in _RULES:
        raise Refused(f"unknown operation {op!r}")
    if (op == "create") != (state.seq == 0):
        raise Refused(f"{op!r} can't be commit {state.seq + 1}")
    if op not in ("create", "reset") and entry["generation"] != state.generation:
        raise Fenced(f"the study was reset (generation {state.generation}, not {entry['generation']})")
    rule, _ = _RULES[op]
    rule(state, entry)


def fold(state: StudyState, entry: Entry, digest: str) -> None:
    """Changes `state` to what it is after the commit.

    Args:
        state: The state before; unusable after an error.
        entry: The decoded commit.
        digest: SHA-256 of its stored bytes.

    Raises:
        UnsupportedFormat: If the commit needs newer software to be understood.
        CorruptEntry: If it breaks the chain or a rule.
    """
    where = layout.log(state.seq + 1)
    try:
        if entry["min_reader"] > layout.READER:
            raise UnsupportedFormat(
                f"The study's commit {state.seq + 1} was written by newer software (it needs reader version "
                f"{entry['min_reader']}, this is {layout.READER}). Upgrade ktcomponent."
            )
        if (entry["study_id"], entry["seq"]) != (state.study_id, state.seq + 1):
            raise Refused("it belongs elsewhere")
        if entry["prev_sha256"] != state.last_sha256:
            raise Refused("it does not follow the commit before it")
        check(state, entry)
        if entry["op"] == "reset":
            state.document = {"config": {}, "oracle": {}}
        if entry["patch"]:
            patch.apply(state.document, entry["patch"])
            state.changed = entry["seq"]
        _RULES[entry["op"]][1](state, entry)
        state.min_writer = max(state.min_writer, entry["min_writer"])
    except UnsupportedFormat:
        raise
    except (Refused, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise CorruptEntry(
            f"{where} breaks the rules of the log: {error}. Restore the objects from a backup or an older "
            "version; nothing was changed or skipped."
        ) from error
    state.seq = entry["seq"]
    state.last_sha256 = digest


# -- the rules: for each operation, what must hold before, and what it does to leases ---------------------


def _writer(entry: Entry) -> tuple[str, str]:
    return entry["writer"]["owner"], entry["writer"]["incarnation"]


def _require_open(state: StudyState, entry: Entry) -> None:
    owner, incarnation = _writer(entry)
    if not state.is_open(owner, incarnation):
        raise Fenced(
            f"incarnation {incarnation} of {owner!r} is closed: another one took over, or it gave back"
        )


def _anything(state: StudyState, entry: Entry) -> None:
    del state, entry


def _may_claim(state: StudyState, entry: Entry) -> None:
    _require_open(state, entry)
    if state.stop is not None:
        raise Refused(f"the search is over ({state.stop['reason']})")
    lease = state.leases.get(entry["trial"])
    if lease is not None and lease["state"] not in ("free", "retry"):
        raise Refused(f"trial {entry['trial']} is {lease['state']}")
    last = 0 if lease is None else lease["attempt"]
    if entry["attempt"] != last + 1:
        raise Refused(f"attempt {entry['attempt']} of trial {entry['trial']} does not follow {last}")
    queued = entry.get("queued")
    if queued is not None and queued not in [waiting["enqueued"] for waiting in state.queue]:
        raise Refused(f"the values that commit {queued} enqueued are taken")
    record = ["oracle", "trials", entry["trial"]]
    if entry["trial"] not in state.trials and record not in [change[1] for change in entry["patch"]]:
        raise Refused(f"trial {entry['trial']} has no record")


def _claim(state: StudyState, entry: Entry) -> None:
    owner, incarnation = _writer(entry)
    trial = entry["trial"]
    if "queued" in entry:
        state.queue = [waiting for waiting in state.queue if waiting["enqueued"] != entry["queued"]]
    before = state.leases.get(trial, {"state": "retry", "losses": 0})
    lease = {
        "state": "running",
        "losses": before["losses"],
        # The first attempt of this run: what an earlier, failed run left is not gone on with.
        "first": entry["attempt"] if before["state"] == "retry" else before["first"],
        "attempt": entry["attempt"],
        "owner": owner,
        "incarnation": incarnation,
        "tuner_id": entry.get("tuner_id"),
        "lease_s": entry.get("lease_s"),
        "claimed": entry["time"],
    }
    state.set_lease(trial, lease)


def _is_current(state: StudyState, entry: Entry) -> Lease:
    lease = state.leases.get(entry["trial"])
    if lease is None or lease["state"] != "running" or lease["attempt"] != entry["attempt"]:
        raise AttemptLost(f"attempt {entry['attempt']} of trial {entry['trial']} is not the running one")
    return lease


def _may_report(state: StudyState, entry: Entry) -> None:
    _require_open(state, entry)
    lease = _is_current(state, entry)
    if (lease["owner"], lease["incarnation"]) != _writer(entry):
        raise Fenced(f"trial {entry['trial']} is held by {lease['owner']!r}, not by {_writer(entry)[0]!r}")


def _finish(state: StudyState, entry: Entry) -> None:
    trial = entry["trial"]
    lease = state.leases[trial]
    retry = state.trials[trial]["status"] == "INVALID"
    ended = {
        "state": "retry" if retry else "ended",
        "attempt": lease["attempt"],
        "losses": lease["losses"],
        "by": lease["incarnation"],
        # What a run left that is repeated is of no use to anybody.
        "files": [] if retry else entry.get("files", []),
    }
    state.set_lease(trial, ended)


def _free(state: StudyState, trial: str, loss: int) -> None:
    lease = state.leases[trial]
    freed = {
        "state": "free",
        "attempt": lease["attempt"],
        "first": lease["first"],
        "losses": lease["losses"] + loss,
    }
    state.set_lease(trial, freed)


def _giveback(state: StudyState, entry: Entry) -> None:
    owner, incarnation = _writer(entry)
    for trial in state.held(owner, incarnation):
        _free(state, trial, loss=0)
    state.owners[owner] = {"incarnation": incarnation, "open": False}


def _may_expire(state: StudyState, entry: Entry) -> None:
    _is_current(state, entry)


def _expire(state: StudyState, entry: Entry) -> None:
    _free(state, entry["trial"], loss=1)


def _may_take_over(state: StudyState, entry: Entry) -> None:
    owner, incarnation = _writer(entry)
    current = state.owners.get(owner)
    replaces = entry["replaces"]
    if (current["incarnation"] if current else None) != replaces or incarnation == replaces:
        raise Fenced(f"another incarnation of {owner!r} took over")
    if entry.get("restart") and not state.is_open(owner, replaces):
        raise Fenced(f"incarnation {replaces} of {owner!r} is closed")


def _take_over(state: StudyState, entry: Entry) -> None:
    owner, incarnation = _writer(entry)
    for trial in state.held(owner):
        _free(state, trial, loss=1)
    state.owners[owner] = {"incarnation": incarnation, "open": True}


def _config(state: StudyState, entry: Entry) -> None:
    if entry.get("reopen"):
        state.stop = None


def _may_stop(state: StudyState, entry: Entry) -> None:
    del entry
    if state.stop is not None:
        raise Refused(f"the search is over already ({state.stop['reason']})")


def _stop(state: StudyState, entry: Entry) -> None:
    state.stop = {"reason": entry["reason"], "seq": entry["seq"], "failures": entry.get("failures", False)}


def _may_reset(state: StudyState, entry: Entry) -> None:
    if entry["generation"] != state.generation + 1:
        raise Refused(f"generation {entry['generation']} does not follow {state.generation}")


def _reset(state: StudyState, entry: Entry) -> None:
    state.generation = entry["generation"]
    state.forget_leases()


def _may_enqueue(state: StudyState, entry: Entry) -> None:
    if state.stop is not None:
        raise Refused(f"the search is over ({state.stop['reason']})")
    if not isinstance(entry["values"], dict):
        raise Refused("enqueued values must be an object")


def _enqueue(state: StudyState, entry: Entry) -> None:
    state.queue = [*state.queue, {"enqueued": entry["seq"], "values": entry["values"]}]


def _may_drop(state: StudyState, entry: Entry) -> None:
    lease = state.leases.get(entry["trial"])
    if lease is None or lease["state"] != "ended" or lease["attempt"] != entry["attempt"]:
        raise Refused(f"attempt {entry['attempt']} of trial {entry['trial']} is not its last, ended one")
    names = {file["name"] for file in lease["files"]}
    if not entry["files"] or not names.issuperset(entry["files"]):
        raise Refused(f"trial {entry['trial']} has no such files")


def _drop(state: StudyState, entry: Entry) -> None:
    lease = state.leases[entry["trial"]]
    kept = [file for file in lease["files"] if file["name"] not in entry["files"]]
    state.set_lease(entry["trial"], {**lease, "files": kept, "dropped": entry["seq"]})


_RULES: dict[str, tuple[Callable[[StudyState, Entry], object], Callable[[StudyState, Entry], object]]] = {
    "create": (_anything, _anything),
    "claim": (_may_claim, _claim),
    "report": (_may_report, _anything),
    "finish": (_may_report, _finish),
    "giveback": (_require_open, _giveback),
    "expire": (_may_expire, _expire),
    "takeover": (_may_take_over, _take_over),
    "config": (_anything, _config),
    "stop": (_may_stop, _stop),
    "reset": (_may_reset, _reset),
    "enqueue": (_may_enqueue, _enqueue),
    "drop": (_may_drop, _drop),
}
