"""``headrace explain``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.cli.waiting import wait_for
from headrace_controller.client import Client
from headrace_functions.errors import FunctionFailed


@click.command()
@click.argument("model", metavar="MODEL:NUMBER")
@click.argument("request_id")
@click.option("--row", default=0, show_default=True, type=click.IntRange(min=0), help="Row of the request.")
@click.option("--output", help="Output to explain; by default the probability of the predicted class, or the number.")
@click.option("--budget", type=click.IntRange(min=1), help="Questions that may be put to the endpoint.")
@json_option
@connected
def explain(
    client: Client, model: str, request_id: str, row: int, output: str | None, budget: int | None, as_json: bool
) -> None:
    """Explain one logged request: how much each input moved the answer (Shapley values).

    The first explanation builds the environment of the analysis, which can take minutes.
    """
    job = wait_for(
        client, client.explain(model, request_id, row=row, output=output, budget=budget), verbose=not as_json
    )
    if job.report is None:
        raise FunctionFailed(f"{job.id} wrote no report", hint=f"its log: headrace analyze log {job.id}")
    document = client.report(job.report)
    if as_json:
        print_json(document)
        return
    print_facts({key: document[key] for key in ("sentence", "output", "prediction", "base", "method", "asked")})
    print_facts({"report": job.report})
    click.echo()
    print_table(document["contributions"], ["name", "value", "typical", "shap"], empty="no contribution")
