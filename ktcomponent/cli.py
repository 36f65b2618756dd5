"""The command line: what a container runs."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import click

from ktcomponent.cli_options import JsonObject, search_options, settings_of, settings_options, storage_option
from ktcomponent.cli_study import enqueue, study
from ktcomponent.errors import ConfigurationError, KtcomponentError
from ktcomponent.step import exit_codes
from ktcomponent.step.plan import Plan, parse_time
from ktcomponent.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ktcomponent")
@click.option("--parent", type=int, hidden=True, help="End with the process of this id.")
@click.pass_context
def cli(context: click.Context, parent: int | None) -> None:
    """Durable hyperparameter search: its whole state is a study on object storage."""
    context.obj = parent
    if context.invoked_subcommand == "step":
        return  # its supervisor does both by itself
    signal.signal(signal.SIGTERM, _leave)
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


@cli.command()
@click.option("--study", required=True, metavar="URL", help="Where the study lies.")
@search_options(required=True)
@settings_options
def prepare(study: str, **options: Any) -> int:
    """Create a study, or check that it fits; changed settings are taken over."""
    from ktcomponent.report import show_status, status
    from ktcomponent.step import resolve
    from ktcomponent.storage import open_storage
    from ktcomponent.study import Study, Writer, incarnations
    from ktcomponent.tuners.host import Host, Limits, hosting

    settings = settings_of(options)
    plan = _plan(study, **options, settings=settings)
    storage = open_storage(plan.study, **plan.storage_options)
    if plan.search_args is not None:
        resolve.load_object(plan.search_args, "--search-args")
    with tempfile.TemporaryDirectory(prefix="ktcomponent-") as scratch:
        writer = Writer(plan.owner, incarnations.new_incarnation())
        found = Study.find(storage)
        host = Host(
            storage, writer, Path(scratch), Limits(), study_wins=False, settings=plan.settings, study=found
        )
        with hosting(host):
            resolve.make_tuner(plan, found.state if found else None).go_on_after_failures()
    show_status(status(host.study or Study.open(storage)))
    return exit_codes.DONE


@cli.command()
@click.option(
    "--study", required=True, metavar="URL", help="Where the study lies; created where there is none."
)
@search_options(required=True)
@settings_options
@click.option("--batch-size", type=click.IntRange(min=1), help="How many trials to run; no limit by default.")
@click.option(
    "--max-runtime", type=click.FloatRange(min=0), metavar="SECONDS", help="Then claim no more trials."
)
@click.option(
    "--deadline", metavar="TIME", help="From this moment (ISO 8601) on the search is over for everybody."
)
@click.option(
    "--max-wait",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait while only others have something to do.",
)
@click.option(
    "--gpus",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="End with 75 before claiming a trial where the training framework sees fewer.",
)
@click.pass_obj
def step(parent: int | None, /, study: str, **options: Any) -> int:
    """Run one batch of trials.

    Ends with 0 (batch done), 99 (the search is over), 2 (a retry can't help), 75 (told to end, or the
    infrastructure failed: retry) or another code (unexpected: retry).
    """
    from ktcomponent.step.supervisor import Supervisor

    settings = settings_of(options)
    return Supervisor(_plan(study, **options, settings=settings), parent).run()


@cli.command()
@click.argument("url")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(url: str, as_json: bool, storage_options: dict[str, Any]) -> int:
    """Show how far a search is."""
    from ktcomponent import report
    from ktcomponent.storage import open_storage
    from ktcomponent.study import Study

    told = report.status(Study.open(open_storage(url, **storage_options)))
    if as_json:
        click.echo(json.dumps(told))
    else:
        report.show_status(told)
    return exit_codes.DONE


@cli.command("import")
@click.argument("directory")
@click.option("--to", "url", required=True, metavar="URL", help="Where the study will lie.")
@click.option(
    "--oracle",
    type=JsonObject(),
    required=True,
    help='The project\'s oracle, as JSON: {"class": ..., "objective": ..., "max_trials": ...}.',
)
def import_(directory: str, url: str, oracle: dict[str, Any]) -> int:
    """Make a study of a KerasTuner project: its search space, trials and checkpoints.

    DIRECTORY is the folder that holds oracle.json: <directory>/<project_name>.
    """
    from ktcomponent.importer import import_project
    from ktcomponent.report import show_status, status

    show_status(status(import_project(directory, url, oracle)))
    return exit_codes.DONE


@cli.command()
@click.argument("url")
@storage_option
@click.option("--reason", default="stopped by hand", show_default=True, help="Kept in the study.")
def stop(url: str, reason: str, storage_options: dict[str, Any]) -> int:
    """End a search: no trial is claimed any more, running ones may finish."""
    from ktcomponent.storage import open_storage
    from ktcomponent.study import Study, Writer, incarnations

    study = Study.open(open_storage(url, **storage_options))
    writer = Writer(incarnations.new_owner(), incarnations.new_incarnation())
    if incarnations.stop(study, writer, reason):
        click.echo(f"stopped {study.url}")
    else:
        click.echo(f"{study.url} was over already: {(study.state.stop or {}).get('reason')}")
    return exit_codes.DONE


cli.add_command(enqueue)
cli.add_command(study)


@cli.command()
@click.argument("url")
@click.option("--to", metavar="URL", help="The folder to write to; a folder of the study by default.")
@search_options(required=False)
@click.option("--top-k", type=click.IntRange(min=1), default=1, show_default=True, help="How many models.")
@click.option("--saved-model", is_flag=True, help="Write each model as a TensorFlow SavedModel too.")
@click.option(
    "--retrain",
    is_flag=True,
    help="Train the best trial's model anew, with --search-args, for as many epochs as its best one took.",
)
@click.option(
    "--min-trials",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Fail with fewer completed trials.",
)
def export(
    url: str, to: str | None, top_k: int, saved_model: bool, retrain: bool, min_trials: int, **options: Any
) -> int:
    """Publish the best hyperparameters, models and the table of trials."""
    from ktcomponent.export import export as write_export

    plan = _plan(url, **options) if options["hypermodel"] else None
    for name, asked in (("--saved-model", saved_model), ("--retrain", retrain)):
        if asked and plan is None:
            raise ConfigurationError(f"{name} needs --hypermodel, which rebuilds the models.")
    target, manifest = write_export(
        url,
        to,
        plan=plan,
        top_k=top_k,
        min_trials=min_trials,
        saved_model=saved_model,
        retrain=retrain,
        storage_options=options["storage_options"],
    )
    partial = ", partial: the search has not run all its trials" if manifest["partial"] else ""
    click.echo(
        f"exported trial {manifest['trial']} (score {manifest['score']:.6g}) and {len(manifest['models'])} models "
        f"to {target}{partial}"
    )
    return exit_codes.DONE


def _leave(*_: object) -> None:
    # An exception, so that what is temporary is removed.
    raise SystemExit(exit_codes.INFRASTRUCTURE)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2)
    os._exit(exit_codes.INFRASTRUCTURE)


def _plan(study: str, **options: Any) -> Plan:
    from ktcomponent.study import incarnations

    if study.startswith("memory:"):
        raise ConfigurationError(
            "A study in memory:// ends with its process. Use a path or an object storage's URL."
        )
    options["warm_start"] = list(options.get("warm_start", ()))
    plan = Plan(study=study, **{**options, "owner": options["owner"] or incarnations.new_owner()})
    if plan.deadline is not None:
        plan = dataclasses.replace(plan, deadline=parse_time(plan.deadline).isoformat())
    return plan


def main(args: list[str] | None = None) -> None:
    """Runs a command; user's mistakes end with one message and code 2, never with a traceback."""
    try:
        code = cli.main(args, prog_name="ktcomponent", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        code = 130
    except KtcomponentError as error:
        click.echo(f"ktcomponent: {error}", err=True)
        code = error.exit_code
    except Exception:  # noqa: BLE001 - the last resort: an unexpected error, to be retried
        traceback.print_exc()
        code = exit_codes.UNEXPECTED
    sys.exit(code or 0)
