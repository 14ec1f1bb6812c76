"""Exchanges of external models: what they were asked and answered elsewhere."""

import flask

from headrace_controller.api import schemas
from headrace_controller.api.permissions import everywhere, named
from headrace_controller.api.routing import Resource
from headrace_controller.requestlog.exchange_files import read_exchanges
from headrace_controller.service.platform import Platform
from headrace_functions.names import VersionId

MAX_BODY = 64 * 1024 * 1024

resource = Resource("exchanges")


@resource.route(
    "POST",
    "/models/<model>/versions/<int:number>/exchanges",
    access=named("call"),
    answer=schemas.ExchangesView,
    status=202,
)
def push_exchanges(platform: Platform, model: str, number: int) -> schemas.ExchangesView:
    """Log exchanges of an external version: JSON lines, an Arrow stream or a Parquet file, with request ids; each id is logged once.

    Rows that do not match the signature are refused individually and listed; the others are logged.
    """
    flask.request.max_content_length = MAX_BODY
    exchanges = read_exchanges(flask.request.get_data(), flask.request.headers.get("content-type", ""))
    taken = platform.exchanges.take(VersionId(model, number), exchanges)
    return schemas.ExchangesView(
        version=f"{model}:{number}",
        accepted=taken.accepted,
        refused=taken.refused,
        first_refused=[{"row": r.row, "field": r.field, "reason": r.reason} for r in taken.first_refused],
    )


@resource.route("POST", "/cloudevents", access=everywhere("call"), status=202)
def take_event(platform: Platform) -> None:
    """Accept a CloudEvent of KServe's logger: a request or a response of an InferenceService for which a model is registered."""
    flask.request.max_content_length = MAX_BODY
    platform.events_of_kserve.take(dict(flask.request.headers.items()), flask.request.get_data())
