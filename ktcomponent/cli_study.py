"""`ktcomponent study ...`: looking after a study; and `enqueue`."""

from __future__ import annotations

import json
from typing import Any

import click

from ktcomponent.cli_options import JsonObject, StorageOptions, storage_option
from ktcomponent.step import exit_codes


@click.group()
def study() -> None:
    """Look after a study: check, read, clean up, copy and mend it."""


@click.command()
@click.argument("url")
@click.argument("values", type=JsonObject())
@storage_option
def enqueue(url: str, values: dict[str, Any], storage_options: dict[str, Any]) -> int:
    """Ask for values to be tried next, before any that the oracle proposes.

    VALUES is JSON by hyperparameter, for example '{"units": 64}'; those left out take their defaults.
    """
    from ktcomponent.storage import open_storage
    from ktcomponent.study import Study, Writer, incarnations
    from ktcomponent.study.enqueue import enqueue as enqueue_values

    found = Study.open(open_storage(url, **storage_options))
    writer = Writer(incarnations.new_owner(), incarnations.new_incarnation())
    commit = enqueue_values(found, writer, values)
    click.echo(f"enqueued as commit {commit}; {len(found.state.queue)} waiting")
    return exit_codes.DONE


study.add_command(enqueue)


@study.command()
@click.argument("url")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(url: str, as_json: bool, storage_options: dict[str, Any]) -> int:
    """Check every entry, the chain, snapshots, segments, and the checksum of every file.

    Ends with 2 if anything is wrong.
    """
    from ktcomponent.maintenance.verify import verify as verify_study
    from ktcomponent.storage import open_storage

    found = verify_study(open_storage(url, **storage_options))
    if as_json:
        click.echo(json.dumps(vars(found)))
    else:
        for key, problem in found.problems:
            click.echo(f"{key}: {problem}")
        click.echo(
            f"{found.commits} commits, {found.snapshots} snapshots, {found.segments} segments, {found.files} files "
            f"({found.file_bytes} bytes), {found.exports} exports: "
            + (f"{len(found.problems)} problems" if found.problems else "all sound")
        )
    return exit_codes.BAD_CONFIGURATION if found.problems else exit_codes.DONE


@study.command()
@click.argument("url")
@storage_option
@click.option("--last", type=click.IntRange(min=1), help="Only so many of the newest commits.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def history(url: str, last: int | None, as_json: bool, storage_options: dict[str, Any]) -> int:
    """Show who did what, and when."""
    from ktcomponent.console import show_table
    from ktcomponent.maintenance.history import COLUMNS, row
    from ktcomponent.maintenance.history import history as read_history
    from ktcomponent.storage import open_storage

    told = read_history(open_storage(url, **storage_options), last)
    if as_json:
        for commit in told:
            click.echo(json.dumps(commit))
    else:
        show_table(COLUMNS, [row(commit) for commit in told])
    return exit_codes.DONE


@study.command()
@click.argument("url")
@click.option("--at", type=click.IntRange(min=1), required=True, metavar="N", help="The commit.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(url: str, at: int, as_json: bool, storage_options: dict[str, Any]) -> int:
    """Show the search as it was after a commit."""
    from ktcomponent import report
    from ktcomponent.storage import open_storage
    from ktcomponent.study import Study

    told = report.status(Study.at(open_storage(url, **storage_options), at))
    if as_json:
        click.echo(json.dumps(told))
    else:
        report.show_status(told)
    return exit_codes.DONE


@study.command()
@click.argument("url")
@storage_option
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
def gc(url: str, dry_run: bool, storage_options: dict[str, Any]) -> int:
    """Remove what nothing refers to: leftovers of lost attempts, old snapshots and beats. Safe during a search."""
    import functools

    from ktcomponent.storage import open_storage
    from ktcomponent.study import Study, upkeep

    found = Study.open(open_storage(url, **storage_options))
    keys = upkeep.garbage(found.storage, found.state)
    for key in keys:
        click.echo(key)
    if not dry_run:
        found.storage.side_by_side([functools.partial(found.storage.delete, key) for key in keys])
    click.echo(f"{len(keys)} objects {'would be ' if dry_run else ''}removed")
    return exit_codes.DONE


@study.command()
@click.argument("url")
@click.argument("to")
@storage_option
@click.option(
    "--to-storage-options",
    type=StorageOptions(),
    default="{}",
    help="The same for the place that is copied to.",
)
def copy(url: str, to: str, storage_options: dict[str, Any], to_storage_options: dict[str, Any]) -> int:
    """Copy a study as it is now, also from one cloud to another. TO must be empty."""
    from ktcomponent.maintenance.copying import copy as copy_study
    from ktcomponent.storage import open_storage

    source, target = open_storage(url, **storage_options), open_storage(to, **to_storage_options)
    copied = copy_study(source, target)
    click.echo(f"copied {copied.commits} commits and {copied.files} files to {target.url}")
    return exit_codes.DONE


@study.command()
@click.argument("url")
@click.option("--to", required=True, metavar="URL", help="Where the mended copy goes; must be empty.")
@storage_option
@click.option(
    "--to-storage-options",
    type=StorageOptions(),
    default="{}",
    help="The same for the place that is copied to.",
)
def repair(url: str, to: str, storage_options: dict[str, Any], to_storage_options: dict[str, Any]) -> int:
    """Make a sound copy of a damaged study, with all of it that can be had. The damaged one stays as it is."""
    from ktcomponent.maintenance.copying import repair as repair_study
    from ktcomponent.storage import open_storage

    source, target = open_storage(url, **storage_options), open_storage(to, **to_storage_options)
    copied = repair_study(source, target)
    for key, problem in copied.lost:
        click.echo(f"{key}: {problem}")
    click.echo(f"copied {copied.commits} commits and {copied.files} files to {target.url}")
    return exit_codes.DONE
