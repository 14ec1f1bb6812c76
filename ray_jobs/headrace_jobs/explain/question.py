"""A question about one logged row: the row, whom to ask about it within the budget, and what its answer is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.attribution.features import matrix, tensors
from headrace_functions.classes import text_of
from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import input_column
from headrace_functions.signature import Field, Tensors
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.explain.answer_equality import Same, same_as
from headrace_jobs.explain.endpoint import Endpoint
from headrace_jobs.explain.job import ExplainRun, Progress
from headrace_jobs.explain.subject import Subject
from headrace_jobs.report_text import number

MAX_PIXELS = 4096
"""Of an image that is explained."""


@dataclass(slots=True)
class Question:
    """A logged row, and whom to ask about it within the budget."""

    run: ExplainRun
    version: Version
    logged: dict[str, Any]
    subject: Subject
    endpoint: Endpoint
    progress: Progress
    asked: int = 0

    def ask(self, given: Tensors) -> Tensors:
        """The model's outputs; ``InvalidInput`` where the budget is used up."""
        self.asked += len(next(iter(given.values())))
        if self.asked > self.run.budget:
            raise InvalidInput(
                f"budget: {self.run.budget} rows are not enough", field="budget", hint="give a larger --budget"
            )
        self.progress(self.asked, self.run.budget, "rows asked")
        return self.endpoint.ask(given)

    @property
    def row(self) -> Array:
        columns = {f.name: [self.logged[input_column(f)]] for f in self.version.signature.inputs}
        return np.asarray(matrix(self.version.signature, columns)[0])

    @property
    def received(self) -> str:
        return str(self.logged["received"].isoformat().replace("+00:00", "Z"))

    def tensors(self, rows: Array) -> Tensors:
        return tensors(self.version.signature, rows)


@contextmanager
def asking(run: ExplainRun, objects: ObjectStore, progress: Progress) -> Iterator[Question]:
    subject = run.subject(objects)
    version = subject.version
    with Endpoint(run.endpoint, version, subject.sequence, run.request_id) as endpoint:
        logged = subject.logged(objects, run.request_id, run.row)
        yield Question(run, version, logged, subject, endpoint, progress)


def answers_of(question: Question, background: Array) -> tuple[Same, Tensors]:
    """The answer of the row, and the outputs of the background; both asked at once."""
    found = question.ask(question.tensors(np.concatenate((question.row[None, :], background))))
    own, others = ({k: v[part] for k, v in found.items()} for part in (slice(0, 1), slice(1, None)))
    return same_as(question.version.signature, own, others, question.run.output), others


def having(question: Question, same: Same) -> Callable[[Array], Array]:
    return lambda rows: same.of(question.ask(question.tensors(rows)))


def images_of(version: Version) -> list[Field]:
    """Inputs of numbers with two or three dimensions of fixed size."""
    fields = version.signature.inputs
    return [f for f in fields if f.dtype.is_number and len(f.shape) in (2, 3) and -1 not in f.shape]


def image_of(version: Version) -> Field:
    for field in images_of(version):
        if field.shape[0] * field.shape[1] > MAX_PIXELS:
            raise InvalidInput(
                f"{field.name}: {field.shape[0]} × {field.shape[1]} pixels are too many",
                field=field.name,
                expected=f"at most {MAX_PIXELS}",
            )
        return field
    raise InvalidInput(
        f"{version.id} has no image among its inputs",
        field="method",
        expected="an input of numbers of shape [height, width] or [height, width, channels]",
        hint="use --method shap or anchors",
    )


def with_images(given: Tensors, field: Field, images: Array) -> Tensors:
    """The row's inputs, once for each of the images in place of its own."""
    repeated = {name: np.repeat(value, len(images), axis=0) for name, value in given.items()}
    repeated[field.name] = images.astype(field.dtype.numpy)
    return repeated


def grey(image: Array) -> Array:
    """Brightness of each pixel, 0 to 1."""
    flat = image if image.ndim == 2 else image.mean(axis=2)
    low, high = float(flat.min()), float(flat.max())
    return np.asarray((flat - low) / (high - low) if high > low else np.zeros_like(flat))


def said_of(value: Any) -> str:
    if value is None:
        return "missing"
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else text_of(value)
