"""``headrace analyze``"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from headrace_controller.api.schemas import JobView
from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.job_progress import wait_for
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.cli.report_view import show_sentence
from headrace_controller.client import Client
from headrace_functions.errors import InvalidInput

ENGINES = click.Choice(["native", "alibi"])


def window_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which rows of the log are analysed."""
    for option in reversed(
        (
            click.option(
                "--window",
                help="Length of the window: 30m, 24h, 7d, or 10000rows.  [default: monitoring.window of the version, 24h]",
            ),
            click.option("--until", help="End of the window, RFC 3339. Default: now."),
            click.option(
                "--where",
                metavar="CONDITION",
                help="Only rows that satisfy this condition over the log's columns, e.g. \"in.age > 30 AND variant = 'b'\".",
            ),
            click.option(
                "--time",
                metavar="COLUMN",
                help="When a row happened: received, caller_time, or an input or output.  [default: monitoring.time of the version, received]",
            ),
        )
    ):
        command = option(command)
    return command


@click.group(cls=Commands)
def analyze() -> None:
    """Analyse request logs: start, list, show and cancel runs."""


@analyze.command("drift")
@click.argument("model", metavar="MODEL:NUMBER")
@window_options
@click.option(
    "--against",
    default="training",
    show_default=True,
    metavar="REFERENCE",
    help="training, previous (the window before this one) or START/END, two RFC 3339 times.",
)
@click.option(
    "--method",
    metavar="FIELD=TEST,…",
    help="Test of a field, or of all 'numerical' or 'categorical' ones: cvm, ks; chi2, g, fisher.",
)
@click.option(
    "--detector",
    metavar="NAME,…",
    help="Tests of all fields together: joint, relations, concept (if there are labels), mmd, reconstruction, uncertainty; with alibi also classifier, tabular, lsdd; "
    "or none.  [default: joint,relations,concept]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting of the definition for this run, e.g. monitoring.alpha=0.01. Can be repeated.",
)
@click.option(
    "--chunks", metavar="LENGTH", help="Also give a verdict for each part of the window of this length, e.g. 1h."
)
@click.option(
    "--engine",
    type=ENGINES,
    default="native",
    show_default=True,
    help="alibi is Alibi Detect, under the Business Source License 1.1: production use needs a licence from Seldon.",
)
@click.option("--no-wait", is_flag=True, help="Start the run and return without waiting for it.")
@json_option
@connected
def analyze_drift(
    client: Client, model: str, no_wait: bool, as_json: bool, settings: tuple[str, ...], **options: str | None
) -> None:
    """Compare a window of the log with the training data or another window, and write a report.

    The first run of an engine builds its environment, which can take minutes.
    """
    options["settings"] = "\n".join(settings) or None
    _follow(client, client.start_job("drift", model, **options), no_wait, as_json)


@analyze.command("performance")
@click.argument("model", metavar="MODEL:NUMBER")
@window_options
@click.option("--output", help="Output that predicts the target. Default: the first suitable one.")
@click.option(
    "--metric-file",
    metavar="FILE.py:FUNCTION",
    help="An additional custom metric: a function of actual, answer and, for classes, probabilities. The file is sent and run in the job.",
)
@click.option("--no-wait", is_flag=True, help="Start the run and return without waiting for it.")
@json_option
@connected
def analyze_performance(
    client: Client, model: str, metric_file: str | None, no_wait: bool, as_json: bool, **options: str | None
) -> None:
    """Estimate metrics of a window without labels, compute them if 'headrace labels push' has provided labels, and write a report.

    The first run builds the environment of the analysis, which can take minutes.
    """
    options |= _function(metric_file) if metric_file is not None else {}
    _follow(client, client.start_job("performance", model, **options), no_wait, as_json)


def _function(place: str) -> dict[str, str | None]:
    """The file and the function's name as the request has them."""
    path, separator, name = place.rpartition(":")
    if not separator:
        raise InvalidInput(
            f"--metric-file: {place!r} does not name a function", field="--metric-file", expected="FILE.py:FUNCTION"
        )
    try:
        return {"metric_file": Path(path).read_text(), "metric": name}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--metric-file: {path} cannot be read: {error}", field="--metric-file") from error


@analyze.command("quality")
@click.argument("model", metavar="MODEL:NUMBER")
@window_options
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.yaml",
    help="Rules to use instead of monitoring.rules in the definition.",
)
@click.option("--no-wait", is_flag=True, help="Start the run and return without waiting for it.")
@json_option
@connected
def analyze_quality(
    client: Client, model: str, rules: Path | None, no_wait: bool, as_json: bool, **options: str | None
) -> None:
    """Check a window against the version's data-quality rules: ranges, sets, patterns, missing, unique, duplicates, rows, freshness.

    The report says pass or fail for each rule, with the first rows that violate it.
    """
    given = None if rules is None else _rules(rules)
    _follow(client, client.start_job("quality", model, rules=given, **options), no_wait, as_json)


def _rules(file: Path) -> list[Any]:
    """The rules of a file: a list, or what a definition has under ``monitoring``."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"--rules: {file} cannot be read: {error}", field="--rules") from error
    for key in ("monitoring", "rules"):
        if isinstance(found, Mapping) and key in found:
            found = found[key]
    if not isinstance(found, list):
        raise InvalidInput(
            f"--rules: {file} does not contain a list of rules",
            field="--rules",
            expected="e.g. - {rule: range, field: age, min: 0}",
        )
    return found


@analyze.command("outliers")
@click.argument("model", metavar="MODEL:NUMBER")
@window_options
@click.option("--rate", type=float, default=0.01, show_default=True, help="Target share of false alarms.")
@click.option(
    "--engine",
    type=ENGINES,
    default="native",
    show_default=True,
    help="alibi: detectors of Alibi Detect (Business Source License 1.1: production use needs a licence from Seldon).",
)
@click.option("--no-wait", is_flag=True, help="Start the run and return without waiting for it.")
@json_option
@connected
def analyze_outliers(client: Client, model: str, no_wait: bool, as_json: bool, **options: str | float | None) -> None:
    """Learn an outlier detector from the training data and report the unusual rows of a window.

    The detector is built as the model MODEL-outliers and scores the version's traffic from then on: headrace metric
    list.
    """
    _follow(client, client.start_job("outliers", model, **options), no_wait, as_json)


@analyze.command("fairness")
@click.argument("model", metavar="MODEL:NUMBER")
@click.option("--group", required=True, metavar="FIELD", help="Input whose values define the groups.")
@click.option("--positive", metavar="VALUE", help="The favourable prediction. Default: the second class.")
@click.option("--output", help="Output that holds the prediction. Default: the first suitable one.")
@window_options
@click.option("--no-wait", is_flag=True, help="Start the run and return without waiting for it.")
@json_option
@connected
def analyze_fairness(client: Client, model: str, no_wait: bool, as_json: bool, **options: str | None) -> None:
    """Compare groups of a window: selection rate, disparate impact, and equal opportunity if there are labels."""
    _follow(client, client.start_job("fairness", model, **options), no_wait, as_json)


@analyze.command("attribution")
@click.argument("model", metavar="MODEL:NUMBER")
@window_options
@click.option(
    "--rows",
    type=click.Choice(["sample", "outliers", "drifted", "training"]),
    default="sample",
    show_default=True,
    help="Which rows to explain: a sample, the window's outliers, the rows least like training; or training itself, which then ranks drifted fields.",
)
@click.option("--count", type=int, help="Number of rows to explain.  [default: 100]")
@click.option("--budget", type=int, help="Maximum number of rows sent to the endpoint.  [default: 100000]")
@click.option("--output", help="Output to explain; by default the most frequently predicted class, or the number.")
@click.option("--no-wait", is_flag=True, help="Start the run and return without waiting for it.")
@json_option
@connected
def analyze_attribution(client: Client, model: str, no_wait: bool, as_json: bool, **options: str | int | None) -> None:
    """Explain many rows at once: what predictions depend on (mean |SHAP|), and the contributions in each row.

    Trees of scikit-learn, LightGBM and XGBoost are read from the artifact; all other models are queried through
    their endpoint. To explain one logged request, use 'headrace explain'.
    """
    _follow(client, client.start_job("attribution", model, **options), no_wait, as_json)


@analyze.command("projection")
@click.argument("model", metavar="MODEL:NUMBER")
@window_options
@click.option("--dimensions", type=click.Choice(["2", "3"]), help="Dimensions of the map.  [default: 2]")
@click.option(
    "--layout",
    type=click.Choice(["tsne", "pca"]),
    help="t-SNE, which keeps similar rows together, or principal components.",
)
@click.option("--points", type=int, help="Maximum number of rows from training and window together.  [default: 2000]")
@click.option("--request-id", metavar="ID", help="Show the neighbours of this request.")
@click.option("--row", type=int, help="Row within the request.  [default: 0]")
@click.option("--no-wait", is_flag=True, help="Start the run and return without waiting for it.")
@json_option
@connected
def analyze_projection(client: Client, model: str, no_wait: bool, as_json: bool, **options: str | int | None) -> None:
    """Draw a two- or three-dimensional map of a window's rows over the training data, coloured by output and distance."""
    _follow(client, client.start_job("projection", model, **options), no_wait, as_json)


@analyze.command("profile")
@click.argument("model", metavar="MODEL:NUMBER")
@window_options
@click.option("--no-wait", is_flag=True, help="Start the run and return without waiting for it.")
@json_option
@connected
def analyze_profile(
    client: Client, model: str, window: str | None, no_wait: bool, as_json: bool, **options: str | None
) -> None:
    """Show statistics of a window's fields beside those of the training data."""
    # Without a window the job makes the profile of the training data, as builds want it.
    _follow(client, client.start_job("profile", model, window=window or "24h", **options), no_wait, as_json)


def _follow(client: Client, job: JobView, no_wait: bool, as_json: bool) -> None:
    """Wait for a run unless told otherwise, and say what it found."""
    if no_wait:
        print_json(job) if as_json else click.echo(job.id)
        return
    job = wait_for(client, job)
    document = client.report(job.report) if job.report else None
    if as_json:
        print_json({**job.model_dump(), "document": document})
        return
    print_facts({"report": job.report, **{k: v for k, v in job.result.items() if k != "report"}})
    if document is not None:
        show_sentence(document)
        click.echo(f"see: headrace report show {job.report}")


@analyze.command("list")
@click.option("--model", metavar="MODEL:NUMBER", help="Show only runs of this version.")
@click.option(
    "--status", type=click.Choice(["queued", "running", "done", "failed"]), help="Show only runs in this state."
)
@json_option
@connected
def list_runs(client: Client, model: str | None, status: str | None, as_json: bool) -> None:
    """List runs, newest first."""
    found = [j.model_dump() for j in client.jobs(model=model, status=status)]
    print_json(found) if as_json else print_table(
        found, ["id", "kind", "version", "engine", "state", "by", "reason"], empty="no run yet"
    )


@analyze.command("show")
@click.argument("job")
@json_option
@connected
def show_run(client: Client, job: str, as_json: bool) -> None:
    """Show a run's state and result."""
    found = client.job(job)
    print_json(found) if as_json else print_facts(found.model_dump())


@analyze.command("log")
@click.argument("job")
@connected
def show_log(client: Client, job: str) -> None:
    """Show the log of a run."""
    click.echo(client.job_log(job), nl=False)


@analyze.command("cancel")
@click.argument("job")
@connected
def cancel_run(client: Client, job: str) -> None:
    """Cancel a queued or running analysis."""
    found = client.cancel_job(job)
    click.echo(f"{found.id}: {found.state} ({found.reason})" if found.reason else f"{found.id}: {found.state}")


@analyze.command("segments")
@click.argument("version", metavar="MODEL[:NUMBER]")
@click.option("--where", default="", help="The rows to compare with the others, e.g. \"outcome <> 'ok'\".")
@click.option("--metric", default="", help="Instead of --where: the rows that are unhealthy by this metric.")
@click.option("--wrong", is_flag=True, help="Instead of --where: the rows whose prediction differs from the label.")
@click.option("--since", help="Start: an RFC 3339 time, or a duration before now such as 1h.")
@click.option("--until", help="End: an RFC 3339 time, or a duration before now.")
@json_option
@connected
def segments(client: Client, version: str, where: str, as_json: bool, **selection: Any) -> None:
    """Show what distinguishes some rows of a log from the others, e.g. the slice where a version performs worst.

    Looks at the newest 10,000 rows: each value and range of every field, and pairs of them. Evidence, not a cause.
    """
    found = client.segments(client.resolve(version), where, **selection)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.selected:,} of {found.rows:,} rows")
    rows = [
        {
            "condition": s.where,
            "of these": f"{s.share:.1%}",
            "of the others": f"{s.usual:.1%}",
            "rows": s.rows,
            "p": f"{s.p:.1g}",
        }
        for s in found.segments
    ]
    print_table(rows, ["condition", "of these", "of the others", "rows", "p"], empty="nothing sets them apart")
