"""Answers of a platform that refuse, as the errors that they were."""

from typing import Any

import httpx
import orjson

from headrace_functions import errors

Json = dict[str, Any]

_ERRORS: dict[str, type[errors.HeadraceError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidInput,
        errors.SignatureMismatch,
        errors.Malformed,
        errors.TooLarge,
        errors.Unauthenticated,
        errors.Forbidden,
        errors.NotFound,
        errors.Conflict,
        errors.DeadlineExceeded,
        errors.FunctionFailed,
        errors.Unreachable,
        errors.StorageFailed,
    )
}


def error_of(answer: httpx.Response) -> errors.HeadraceError:
    """The problem document of an answer as the error that it was."""
    try:
        problem = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    if problem.get("kind") == "Status":
        return _refused_on_the_way(problem)
    if "code" not in problem:
        return errors.Unreachable(
            f"{answer.url} answered {answer.status_code}, but not as a platform does", hint="check the platform's URL"
        )
    message = str(problem.get("detail") or f"the platform answered {answer.status_code}")
    hint = problem.get("hint")
    code = problem.get("code", "")
    if code in (errors.Overloaded.code, errors.NotReady.code):
        kind = errors.Overloaded if code == errors.Overloaded.code else errors.NotReady
        return kind(message, retry_after=float(answer.headers.get("retry-after", 1)), hint=hint)
    known = _ERRORS.get(code, errors.HeadraceError)
    return known(
        message, field=problem.get("field"), expected=problem.get("expected"), got=problem.get("got"), hint=hint
    )


def _refused_on_the_way(status: Json) -> errors.HeadraceError:
    """What the Kubernetes API server says in the platform's place."""
    message = str(status.get("message") or status.get("reason") or "no reason was given")
    hints = {
        401: "the kubeconfig's credentials are not taken: log in again",
        403: "you need the verbs of your requests on services/proxy in the platform's namespace",
        404: "is a platform installed in this namespace? see docs/install-on-a-cluster.md; name another with --namespace",
        503: "the controller is not up: kubectl get pods, in the platform's namespace",
    }
    hint = hints.get(int(status.get("code") or 0))
    return errors.Unreachable(f"the cluster does not let us through: {message}", hint=hint)
