"""Anchors as reports: the rule of a row, by our search or by Alibi's; with Alibi, the parts of an image."""

import numpy as np

from headrace_functions.attribution.features import features_of
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.explain import alibi
from headrace_jobs.explain.anchors import Anchor, Background, anchor
from headrace_jobs.explain.job import ExplainRun, Progress
from headrace_jobs.explain.predicates import Predicate
from headrace_jobs.explain.question import (
    Question,
    answers_of,
    asking,
    grey,
    having,
    image_of,
    images_of,
    said_of,
    with_images,
)
from headrace_jobs.report.models import AnchorReport, RulePart
from headrace_jobs.report_text import share


def explain_by_rule(run: ExplainRun, objects: ObjectStore, progress: Progress) -> AnchorReport:
    """An anchor of the row; with Alibi, of an image its parts that hold the answer."""
    with asking(run, objects, progress) as question:
        if run.engine == "alibi" and images_of(question.version):
            return _explain_by_parts(question, objects)
        names = [f.name for f in features_of(question.version.signature)]
        background, _ = question.subject.background(objects)
        background = background[: max(run.budget // 2 - 1, 1)]  # the rest is for the search
        same, answers = answers_of(question, background)
        known = Background(background, same.of(answers), question.subject.more(objects))
        if run.engine == "alibi":
            found = alibi.rule(having(question, same), question.row, known)
        else:
            found = anchor(having(question, same), question.row, known, budget=run.budget - question.asked)
    rule = tuple(_part(names[p.feature], p) for p in found.predicates)
    said = " and ".join(map(_said, rule)) or "nothing in particular holds"
    return AnchorReport(
        model=str(run.version),
        request_id=run.request_id,
        row=run.row,
        received=question.received,
        sequence=question.subject.title,
        engine=run.engine,  # type: ignore[arg-type]  # pydantic checks it
        licence=alibi.LICENCE if run.engine == "alibi" else None,
        answer=same.said,
        rule=rule,
        precision=found.precision,
        precision_low=found.precision_low,
        coverage=found.coverage,
        held_out=found.held_out,
        real=found.real,
        asked=question.asked,
        sentence=_sentence(said, same.said, found, run.budget),
    )


def _sentence(rule: str, answer: str, found: Anchor, budget: int) -> str:
    ended = (
        f" The budget of {budget:,} rows ended the search: a larger one may find a better rule." if found.spent else ""
    )
    return (
        f"Where {rule}, {answer} in {share(found.precision)} of rows, at least in {share(found.precision_low)}; "
        f"that is so for {share(found.coverage)} of the training data.{ended}"
    )


def _explain_by_parts(question: Question, objects: ObjectStore) -> AnchorReport:
    field = image_of(question.version)
    background, _ = question.subject.background(objects)
    same, _ = answers_of(question, background)
    given = question.tensors(question.row[None, :])
    image = given[field.name][0].astype(np.float64)
    found = alibi.parts(lambda images: same.of(question.ask(with_images(given, field, images))), image)
    return AnchorReport(
        model=str(question.run.version),
        request_id=question.run.request_id,
        row=question.run.row,
        received=question.received,
        sequence=question.subject.title,
        engine="alibi",
        licence=alibi.LICENCE,
        answer=same.said,
        rule=(),
        precision=found.precision,
        precision_low=None,
        coverage=found.coverage,
        held_out=0,
        asked=question.asked,
        sentence=f"Where the marked {share(float(found.held.mean()))} of `{field.name}` stays, {same.said} in {share(found.precision)} of images whose other parts are blotted out.",
        input=field.name,
        image=tuple(tuple(line) for line in grey(image).tolist()),
        held=tuple(tuple(line) for line in found.held.astype(int).tolist()),
    )


def _said(part: RulePart) -> str:
    return f"`{part.name}` {part.relation}" + (f" {said_of(part.value)}" if part.relation != "is missing" else "")


def _part(name: str, predicate: Predicate) -> RulePart:
    return RulePart.model_validate({"name": name, "relation": predicate.relation, "value": predicate.value})
