"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ktcomponent.storage.secret import is_secret, names_in

F = TypeVar("F", bound=Callable[..., Any])


class JsonObject(click.ParamType[Any]):
    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            parsed = json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is no JSON: {error}.", param, ctx)
        if not isinstance(parsed, dict):
            self.fail(f"expected a JSON object, got {value!r}.", param, ctx)
        return parsed


def search_options(required: bool) -> Callable[[F], F]:
    """The options that say what is tuned, and with what."""

    def add(command: F) -> F:
        for option in (
            storage_option,
            click.option(
                "--owner",
                default="",
                help="Who claims trials; a fresh id by default. A retry must use the same.",
            ),
            click.option(
                "--oracle",
                type=JsonObject(),
                help='How to search, as JSON: {"objective": ..., "max_trials": ...}; "class" names an oracle, chosen by default.',
            ),
            click.option(
                "--warm-start",
                multiple=True,
                metavar="URL",
                help="An earlier study, or a folder with some: a new study begins with what they found. May be repeated.",
            ),
            click.option(
                "--search-kwargs",
                type=JsonObject(),
                default="{}",
                help="Keyword arguments of search, as JSON.",
            ),
            click.option(
                "--search-args",
                metavar="MODULE:NAME",
                help="A function that returns the (args, kwargs) of search.",
            ),
            click.option(
                "--hypermodel",
                required=required,
                metavar="MODULE:NAME",
                help="What to tune: build(hp), objective(hp), a HyperModel, a Tuner, or a function that makes one.",
            ),
        ):
            command = option(command)
        return command

    return add


class StorageOptions(JsonObject):
    """A file system's arguments; a credential would be seen by everybody who lists processes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        options = super().convert(value, param, ctx)
        for name in names_in(options):
            if is_secret(name):
                self.fail(
                    f"{name!r} looks like a credential, which doesn't belong on a command line. Give it by the "
                    "environment (FSSPEC_<PROTOCOL>_<NAME>, or the cloud's own variables) or in fsspec's configuration "
                    "files.",
                    param,
                    ctx,
                )
        return options


storage_option = click.option(
    "--storage-options",
    type=StorageOptions(),
    default="{}",
    help='Arguments of the fsspec file system, as JSON, without credentials; {"single_writer": true} among them.',
)


def settings_options(command: F) -> F:
    """The study's own settings."""
    for option in (
        click.option(
            "--checkpoint-every",
            metavar="N|SECONDSs",
            help='Let a training be resumable after every N epochs, or seconds ("30s", the default); 0: not at all.',
        ),
        click.option(
            "--keep-checkpoints",
            metavar="K|all",
            help="Keep the checkpoints of the K best trials; of all by default.",
        ),
        click.option(
            "--lease",
            "lease_s",
            type=float,
            metavar="SECONDS",
            help="After so long without a sign of life others take a worker's trial; 60 by default.",
        ),
    ):
        command = option(command)
    return command


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the study's settings out of a command's options."""
    from ktcomponent.study.settings import checked

    given = {name: options.pop(name) for name in ("lease_s", "keep_checkpoints", "checkpoint_every")}
    keep = given["keep_checkpoints"]
    if keep is not None and keep.isdigit():
        given["keep_checkpoints"] = int(keep)
    return checked(given)
