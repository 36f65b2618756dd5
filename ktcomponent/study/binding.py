"""Binding an oracle to a study: creating the study, or checking that both are of one search."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ktcomponent.errors import Refused, StudyMismatch
from ktcomponent.hyperparameters import HyperParameter, HyperParameters
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.registry import BUILT_IN, class_name, create_oracle
from ktcomponent.storage import Storage
from ktcomponent.study.entry import plain
from ktcomponent.study.ledger import StudyLedger
from ktcomponent.study.oracle_document import first_document
from ktcomponent.study.settings import DEFAULTS, checked
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Draft, Study, Writer

Discover = Callable[[dict[str, Any]], None]


def bind(
    oracle: Oracle,
    storage: Storage,
    writer: Writer,
    *,
    overwrite: bool = False,
    study_wins: bool = False,
    is_open: bool = False,
    writes: bool = True,
    settings: Mapping[str, Any] | None = None,
    discover: Discover = lambda _: None,
    study: Study | None = None,
    is_new: bool = False,
) -> StudyLedger:
    """Binds an oracle to the study at `storage`, which is created where there is none.

    Nothing is written before everything that can be checked has been.

    Args:
        oracle: The oracle; it is set to the study's state.
        storage: Where the study lies.
        writer: Who commits.
        overwrite: Whether to begin a new generation of an existing study.
        study_wins: What happens where settings differ: the study's are kept, with a warning; else the
            oracle's are committed.
        is_open: Whether the writer's incarnation is open, or will be by the first claim.
        settings: The study's own settings, see `ktcomponent.study.settings`; those left out keep their value.
        writes: Whether new hyperparameters and settings are committed to a study that exists.
        discover: Called with the study's configuration (empty for a new study, which keeps what is put into
            it) to declare hyperparameters in the oracle.
        study: The study, where it is open already.
        is_new: Whether there was none a moment ago, so that none is looked for; it does no harm if there is by now.

    Raises:
        StudyMismatch: If the study has another oracle class, objective or domain of a hyperparameter.
    """
    if study is None and not is_new:
        study = Study.find(storage)
    if study is not None and not overwrite:
        ledger = StudyLedger(study, oracle, writer, is_open)
        _join(ledger, study_wins, discover, writes)
        _apply_settings(ledger, settings or {}, study_wins, writes)
        return ledger
    document = _begin(oracle, discover, settings or {})
    if study is None:
        storage.check_shared()
        study, is_mine = Study.create(storage, writer, document)
    else:
        is_mine = True
        _reset(study, writer, document)
    ledger = StudyLedger(study, oracle, writer, is_open)
    if is_mine:
        ledger.refresh()
    else:
        _join(ledger, study_wins, lambda _: None)
        _apply_settings(ledger, settings or {}, study_wins, writes)
    oracle.bind(ledger)
    return ledger


def kept_oracle(state: StudyState) -> Oracle:
    """The oracle that a study's configuration describes, without its trials.

    Raises:
        ConfigurationError: If it is none of the built-in ones.
    """
    space = HyperParameters.from_config(state.document["oracle"]["hyperparameters"])
    oracle = create_oracle(state.config["oracle"], hyperparameters=space)
    oracle.overridden = list(state.config["overridden"])
    return oracle


def check_domains(pairs: Iterable[tuple[HyperParameter, HyperParameter]], where: str) -> None:
    """Refuses hyperparameters whose domain is not the study's.

    Args:
        pairs: (in the study, given now).
        where: The study, for the message.

    Raises:
        StudyMismatch: If a pair differs.
    """
    differences = []
    for known, given in pairs:
        old, new = known.domain(), given.domain()
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if keys:
            told = ", ".join(f"{key} is {old.get(key)!r} there and {new.get(key)!r} here" for key in keys)
            differences.append(f"{known.name!r}: {told}")
    if differences:
        raise StudyMismatch(
            f"{where} has another search space. {'; '.join(differences)}. Use a new study for a changed domain, "
            "or give the hyperparameter another name."
        )


def create(oracle: Oracle, storage: Storage, writer: Writer, notes: dict[str, Any]) -> Study:
    """Creates a study for an oracle that has no trials yet.

    Args:
        oracle: The oracle; it is not bound.
        storage: Where the study will lie.
        writer: Who creates it.
        notes: What its configuration says beside the oracle.
    """
    document = _begin(oracle, lambda config: config.update(notes))
    study, _ = Study.create(storage, writer, document)
    return study


def _begin(
    oracle: Oracle, discover: Discover, settings: Mapping[str, Any] = MappingProxyType({})
) -> list[list[Any]]:
    """The first document of a new study (or generation)."""
    config: dict[str, Any] = {
        "oracle": {"class": class_name(oracle), **oracle.settings()},
        "overridden": oracle.overridden,
        **DEFAULTS,
        **checked(settings),
    }
    if oracle.chosen is not None:
        config["chosen"] = oracle.chosen
    discover(config)
    return first_document(oracle, config)


def _join(ledger: StudyLedger, study_wins: bool, discover: Discover, writes: bool = True) -> None:
    """Brings an oracle and an existing study together."""
    oracle, study = ledger.oracle, ledger.study
    config = study.state.config
    _check_same_search(oracle, config["oracle"], study.url)
    settings, given = plain(oracle.settings()), oracle.hyperparameters
    seed = None if oracle._seed_is_drawn else oracle.seed
    ledger.refresh()
    oracle.overridden = list(dict.fromkeys([*oracle.overridden, *config["overridden"]]))
    known = ((oracle.hyperparameters.find(hp.name, hp.conditions), hp) for hp in given.space)
    check_domains([(old, hp) for old, hp in known if old is not None], f"The study {study.url}")
    kept = {**plain(oracle.complete_settings(config["oracle"])), "seed": oracle.seed}
    # What a study began with stays.
    changed = {key: v for key, v in settings.items() if kept.get(key) != v and key != "earlier"}
    if study_wins:
        differing = {**changed, **({"seed": seed} if seed not in (None, oracle.seed) else {})}
        if differing:
            told = "; ".join(f"{key} is {kept.get(key)!r}, not {value!r}" for key, value in differing.items())
            warnings.warn(f"The settings of the study {study.url} are used: {told}.", stacklevel=2)
        changed, seed = {}, None
    if changed and config["oracle"]["class"] in BUILT_IN:
        create_oracle({**config["oracle"], **changed})  # or says why not, before anything is written
    oracle.hyperparameters.merge(given, overwrite=False)
    discover(config)
    space: HyperParameters = oracle.get_space()
    if writes:
        ledger.reconfigure(changed, seed, space)
    oracle.bind(ledger)


def _apply_settings(ledger: StudyLedger, given: Mapping[str, Any], study_wins: bool, writes: bool) -> None:
    """Commits the study's own settings where they changed."""
    kept = {**DEFAULTS, **ledger.study.state.config}
    changed = {name: value for name, value in checked(given).items() if kept[name] != value}
    if study_wins and changed:
        told = "; ".join(f"{name} is {kept[name]!r}, not {value!r}" for name, value in changed.items())
        warnings.warn(f"The settings of the study {ledger.study.url} are used: {told}.", stacklevel=3)
    elif changed and writes:
        for name, value in changed.items():
            ledger.along.note(name, value)
        ledger.flush()


def _reset(study: Study, writer: Writer, document: list[list[Any]]) -> None:
    """Begins a new generation; made again on the newer head if another process did so first."""
    while True:
        following = dataclasses.replace(writer, generation=study.state.generation + 1)
        try:
            study.commit(following, lambda _: Draft("reset", patch=document))
            return
        except Refused:
            study.refresh()


def _check_same_search(oracle: Oracle, kept: dict[str, Any], url: str) -> None:
    mine = class_name(oracle)
    same = kept["class"] == mine
    if not same and "__main__" in kept["class"] + mine:
        # A class that was written in a notebook has moved into a module.
        same = kept["class"].split(":")[-1] == mine.split(":")[-1]
    if not same:
        raise StudyMismatch(
            f"The study {url} has the oracle {kept['class']}, not {mine}. Use a new study for another oracle."
        )
    settings = plain(oracle.settings())
    for name in oracle.fixed_settings:
        if kept.get(name) != settings[name]:
            raise StudyMismatch(
                f"The study {url} has the {name} {kept.get(name)}, not {settings[name]}. Use a new study for "
                f"another {name}."
            )
