"""Logged rows, labels and segments of the log, as the API answers them."""

from pydantic import Field

from headrace_controller.api.schemas.answers import Answer, Json


class LogRows(Answer):
    columns: list[str] = Field(description="all columns of the log; empty if nothing has been logged")
    rows: list[Json]


class LogTailView(Answer):
    rows: list[Json] = Field(description="in the order in which they were logged")
    next: str = Field(description="position to continue from")
    behind: bool = Field(description="whether more rows are available now")


class LabelsView(Answer):
    version: str
    number: int = Field(description="number of the stored file")
    rows: int = Field(description="number of labels in the file")
    logged: int = Field(description="labels whose rows are answered in the log")
    replaced: int = Field(default=0, description="labels that a later row of the same file replaced")
    repeated: int = Field(
        default=0, description="labels of rows that were answered several times; they apply to the newest"
    )
    assumed: int = Field(
        default=0, description="labels without 'row' of requests that have several rows, stored for row 0"
    )


class LabelFileView(Answer):
    number: int
    rows: int = Field(description="number of labels in the file; 0 if it cannot be read")
    columns: list[str]
    size: int = Field(description="bytes")
    pushed: str


class LabelFileList(Answer):
    items: list[LabelFileView]


class RequestView(Answer):
    rows: list[Json] = Field(description="by the columns of the log")
    metrics: list[Json] = Field(description="by the columns of the table of values")


class SegmentView(Answer):
    where: str = Field(description="the condition, in the syntax of log filters")
    share: float = Field(description="share of the selected rows that satisfy it")
    usual: float = Field(description="share of the other rows that satisfy it")
    rows: int = Field(description="selected rows that satisfy it")
    p: float = Field(description="probability of such a difference by chance, corrected for all conditions tried")


class SegmentsView(Answer):
    rows: int = Field(description="rows that were examined, the newest ones")
    selected: int = Field(description="rows of them that satisfy 'where'")
    segments: list[SegmentView] = Field(description="the most distinctive first; empty if nothing sets them apart")


class RefusedView(Answer):
    key: str = Field(description="its name in the store below inbox-refused/")
    size: int = Field(description="bytes")
    reason: str
    at: str


class RefusedList(Answer):
    items: list[RefusedView]


class RetriedView(Answer):
    retried: int = Field(description="objects that were passed to the collector again")


class ExchangesView(Answer):
    version: str
    accepted: int = Field(description="accepted for the log, in which each request id is logged once")
    refused: int
    first_refused: list[Json] = Field(description="row (from 1), field and reason of the first hundred")
