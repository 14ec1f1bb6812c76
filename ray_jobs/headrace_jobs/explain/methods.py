"""The other ways to explain one logged row: a rule, the nearest rows with another answer, the parts of an image."""

from collections.abc import Callable

import numpy as np

from headrace_functions.attribution.features import features_of
from headrace_functions.attribution.outcome import choose
from headrace_functions.errors import InvalidInput
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs.explain.answer_equality import Same
from headrace_jobs.explain.counterfactuals import counterfactuals, scales
from headrace_jobs.explain.fromlog import rows_with_another_answer
from headrace_jobs.explain.job import ExplainRun, Progress, plain
from headrace_jobs.explain.question import Question, answers_of, asking, grey, having, image_of, said_of, with_images
from headrace_jobs.explain.rules import explain_by_rule
from headrace_jobs.explain.saliency import rise
from headrace_jobs.report.models import (
    AnchorReport,
    Change,
    CounterfactualReport,
    CounterfactualRow,
    SaliencyReport,
)
from headrace_jobs.report_text import number


def explain_by_neighbours(run: ExplainRun, objects: ObjectStore, progress: Progress) -> CounterfactualReport:
    """The nearest rows of the log and of the training data that have another answer."""
    with asking(run, objects, progress) as question:
        names = [f.name for f in features_of(question.version.signature)]
        background, known = question.subject.background(objects)
        same, answers = answers_of(question, background)
        trained = background[~same.of(answers)]
        logged = _logged_otherwise(question, objects, same)
        others = np.concatenate((trained, logged)) if len(logged) else trained
        if not len(others):
            raise InvalidInput(
                f"{same.said} for all rows of the training data and of the log that were looked at",
                field="output",
                hint="there is no row with a different prediction to compare with",
            )
        row = question.row
        found = counterfactuals(having(question, same), row, others, scales(background))
    rows = tuple(
        CounterfactualRow(
            source=known if c.source < len(trained) else "log",
            distance=c.distance,
            changes=tuple(Change(name=names[i], before=plain(row[i]), after=plain(c.row[i])) for i in c.changed),
        )
        for c in found
    )
    first = ", ".join(f"`{c.name}` {said_of(c.before)} → {said_of(c.after)}" for c in rows[0].changes)
    return CounterfactualReport(
        model=str(run.version),
        request_id=run.request_id,
        row=run.row,
        received=question.received,
        sequence=question.subject.title,
        answer=same.said,
        rows=rows,
        compared=len(others),
        asked=question.asked,
        sentence=f"It would not be that {same.said} with {first}.",
    )


def explain_by_masks(run: ExplainRun, objects: ObjectStore, progress: Progress) -> SaliencyReport:
    """Which pixels of an image input the answer needs."""
    with asking(run, objects, progress) as question:
        field = image_of(question.version)
        given = question.tensors(question.row[None, :])
        image = given[field.name][0].astype(np.float64)
        background = question.tensors(question.subject.background(objects)[0])[field.name]
        outcome = choose(question.version.signature, question.ask(given), run.output)

        def model(images: Array) -> Array:
            return outcome.of(question.ask(with_images(given, field, images)))

        hidden = background.astype(np.float64).mean(axis=0)
        found = rise(model, image, hidden, run.budget - 2)
    place = np.unravel_index(int(found.values.argmax()), found.values.shape)
    return SaliencyReport(
        model=str(run.version),
        request_id=run.request_id,
        row=run.row,
        received=question.received,
        sequence=question.subject.title,
        input=field.name,
        output=outcome.name,
        prediction=found.prediction,
        image=tuple(tuple(line) for line in grey(image).tolist()),
        saliency=tuple(tuple(line) for line in found.values.tolist()),
        asked=question.asked,
        sentence=f"{outcome.name} is {number(found.prediction)}; it needs the part of `{field.name}` around row {place[0]}, column {place[1]} most.",
    )


METHODS: dict[
    str, Callable[[ExplainRun, ObjectStore, Progress], AnchorReport | CounterfactualReport | SaliencyReport]
] = {
    "anchors": explain_by_rule,
    "counterfactual": explain_by_neighbours,
    "rise": explain_by_masks,
}


def _logged_otherwise(question: Question, objects: ObjectStore, same: Same) -> Array:
    """Rows of the log with another answer; none of a sequence, whose inputs and outputs do not stand in one log."""
    if question.subject.sequence:
        return np.empty((0, len(question.row)), object)
    return rows_with_another_answer(objects, question.version, same)
