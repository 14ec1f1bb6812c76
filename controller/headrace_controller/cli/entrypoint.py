"""The front of the command line: the table of commands, loaded when asked for, and errors as people read them."""

import errno
import importlib
import sys
from typing import Any

import click

from headrace_controller.cli import interrupts
from headrace_controller.cli.groups import resolved
from headrace_functions.errors import HeadraceError, InvalidInput

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it: 128 and the number of the signal."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a write to a full disk raises, which names no file."""

# command: (module below this package, attribute, the first line of its help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("platform", "up", "Start a platform on this machine."),
    "down": ("platform", "down", "Stop the platform that runs on a home directory."),
    "status": ("status", "status", "Show the platform's address, counts, services and problems."),
    "apply": (
        "apply",
        "apply",
        "Create or update the models, sequences, streams, deployment configurations and grants of definition files.",
    ),
    "evaluate": (
        "evaluate",
        "evaluate",
        "Evaluate a version on a labelled file and check the figures against requirements.",
    ),
    "deliver": (
        "deliver",
        "deliver",
        "Release a version, stage and evaluate it, and move an alias to it or say why not.",
    ),
    "ci": ("ci", "ci", "Write pipelines that deliver a model."),
    "dev": (
        "dev",
        "dev",
        "Serve a model while you develop it: reload on save, show requests, checks and errors.",
    ),
    "new": ("new", "new", "Start a project in FOLDER from a template."),
    "import": ("importing", "importing", "Write definitions for models of other platforms."),
    "model": ("model", "model", "List, show and delete models, and inspect model files."),
    "version": ("version", "version", "List, show and delete versions of models, and read their build logs."),
    "alias": ("alias", "alias", "Manage aliases: names that point to a version and can be moved."),
    "sequence": ("sequence", "sequence", "List, show, roll back and delete sequences."),
    "stream": (
        "stream",
        "stream",
        "List, pause, resume and reset streams between Kafka topics. Create them with: headrace apply.",
    ),
    "render": ("render", "render", "Print the InferenceServices that a cluster would run for NAME as YAML."),
    "service": ("service", "service", "List services, wake them and put them to sleep."),
    "predict": ("predict", "predict", "Send rows to a model or sequence and show the predictions."),
    "batch": ("batch", "batch", "Send the rows of files to a model or sequence and write files with the predictions."),
    "sample": (
        "predict",
        "sample",
        "Show an example request with rows of the training data, and the command that sends it.",
    ),
    "log": ("log", "log", "Query, follow and export request logs."),
    "metric": ("metric", "metric", "Metrics: models or formulas that score a version's requests and predictions."),
    "health": ("health", "health", "Show requests, latency and fields of a version over time."),
    "incident": ("incident", "incident", "List and handle incidents: one for each cause of a problem with a version."),
    "rule": ("rule", "rule", "Rules of incidents: your own limits for a model instead of the defaults."),
    "target": ("target", "target", "Manage notification targets, which are notified of incidents and changes."),
    "compare": ("compare", "compare", "Compare two versions on the requests that both have answered."),
    "replay": ("compare", "replay", "Send logged requests of one version to another and compare the predictions."),
    "analyze": ("analyze", "analyze", "Analyse request logs: start, list, show and cancel runs."),
    "labels": (
        "labels",
        "labels",
        "Push, list and remove labels that arrive after the predictions.",
    ),
    "report": ("report", "report", "List, show, compare and open reports."),
    "explain": ("explain", "explain", "Explain one logged request."),
    "schedule": ("schedule", "schedule", "Schedule analyses by a cron expression or by a number of new rows."),
    "login": (
        "login",
        "login",
        "Store an API key for a platform, or log in with its login provider, so that commands use it.",
    ),
    "logout": ("login", "logout", "Forget the key of a platform."),
    "access": ("access", "access", "Manage access: API keys, grants, blocks."),
    "audit": ("audit", "audit", "Show who changed what and who was refused, and verify that no entry was altered."),
    "retention": ("retention", "retention", "Set how long logs, metric values and reports are kept."),
    "backup": (
        "backup",
        "backup",
        "Copy a consistent snapshot of the store to PLACE, with the SHA-256 of every object.",
    ),
    "restore": ("backup", "restore", "Restore a backup to an empty store."),
    "erase": (
        "erase",
        "erase",
        "Erase everything the platform stores about one value of a field, such as a customer's id.",
    ),
    "erasure": ("erase", "erasure", "Show erasures."),
    "cluster": ("cluster", "cluster", "Check whether a cluster has what a platform needs."),
    "config": ("config", "config", "Show which platform commands talk to, and how it was chosen."),
}


class Front(click.Group):
    """The group of all commands, and the one place that prints errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        del ctx
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        # Imported here and not at the top: the client's libraries cost more time than all the rest of --help.
        command: click.Command = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        return resolved(super().resolve_command, self, ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HeadraceError as error:
            show_error(error)
            ctx.exit(1)
        except KeyboardInterrupt:
            sys.exit(_interrupted())
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output has left; there is nobody to tell
            ctx.exit(1)
        except OSError as error:
            if error.filename is None and error.errno not in _FULL:
                raise  # not about a file that somebody named
            show_error(_file_error(error))
            ctx.exit(1)


def _file_error(error: OSError) -> InvalidInput:
    """An error of the system as people read it."""
    reason = error.strerror or str(error)
    return InvalidInput(reason if error.filename is None else f"{error.filename} cannot be used: {reason}")


def _interrupted() -> int:
    """Say what goes on without this command, and return the exit code of a program that Ctrl-C ended."""
    told = interrupts.current()
    click.echo(f"\ninterrupted{f': {told}' if told else ''}", err=True)
    return INTERRUPTED


@click.group(cls=Front, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="headrace", message="headrace %(version)s")
@click.option("--context", help="Use the platform in the cluster of this kubeconfig context [HEADRACE_CONTEXT].")
@click.option("--namespace", help="Namespace of that platform [HEADRACE_NAMESPACE, headrace].")
def front(context: str | None, namespace: str | None) -> None:
    """Headrace serves, monitors and explains machine-learning models."""
    del context, namespace  # ``connection`` reads them from the invocation


def show_error(error: HeadraceError) -> None:
    """What went wrong on standard error: the message, what was expected and got, what to do next."""
    click.secho("error: ", fg="red", nl=False, err=True)
    click.echo(error.message, err=True)
    for label, value in (("expected", error.expected), ("got", error.got), ("hint", error.hint)):
        if value:
            click.echo(f"{label}: {value}", err=True)


def main() -> None:
    front(prog_name="headrace")
