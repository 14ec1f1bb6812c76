"""``headrace explain``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.job_progress import wait_for
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.client import Client
from headrace_functions.errors import FunctionFailed

FACTS = (
    "sequence",
    "sentence",
    "output",
    "answer",
    "prediction",
    "base",
    "method",
    "precision",
    "precision_low",
    "coverage",
    "asked",
)


@click.command()
@click.argument("model", metavar="MODEL:NUMBER|SEQUENCE")
@click.argument("request_id")
@click.option("--row", default=0, show_default=True, type=click.IntRange(min=0), help="Row within the request.")
@click.option(
    "--method",
    type=click.Choice(["shap", "anchors", "counterfactual", "rise"]),
    default="shap",
    show_default=True,
    help="Contributions of the inputs, a rule that preserves the prediction, similar rows with a different prediction, or the relevant parts of an image.",
)
@click.option(
    "--engine",
    type=click.Choice(["native", "alibi"]),
    default="native",
    show_default=True,
    help="alibi: anchors by Alibi (Business Source License 1.1: production use needs a licence from Seldon).",
)
@click.option("--output", help="Output to explain; by default the probability of the predicted class, or the number.")
@click.option("--budget", type=click.IntRange(min=1), help="Maximum number of rows sent to the endpoint.")
@json_option
@connected
def explain(client: Client, model: str, request_id: str, as_json: bool, **options: str | int | None) -> None:
    """Explain one logged request: how much each input moved the answer (Shapley values), or in another way.

    A sequence is explained as a whole: its own inputs, its last stage's outputs.

    If the same explanation is requested again, the existing report is returned. The first explanation builds the
    environment of the analysis, which can take minutes.
    """
    asked = client.explain(model, request_id, **options)
    job = wait_for(client, asked, verbose=not as_json)
    if job.report is None:
        raise FunctionFailed(f"{job.id} did not write a report", hint=f"its log: headrace analyze log {job.id}")
    document = client.report(job.report)
    if as_json:
        print_json(document)
        return
    print_facts({key: document[key] for key in FACTS if document.get(key) is not None})
    print_facts({"report": job.report})
    click.echo()
    if "contributions" in document:
        print_table(document["contributions"], ["name", "value", "typical", "shap"], empty="no contribution")
    if "rule" in document:
        print_table(document["rule"], ["name", "relation", "value"], empty="no condition")
    for found in document.get("rows", ()):
        print_table(found["changes"], ["name", "before", "after"], empty="no change")
        click.echo()
