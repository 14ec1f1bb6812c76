"""What Schemathesis holds every answer to: no internal error, and no word of what the caller may not see. It loads this file by its name."""

import os

import schemathesis

HIDDEN = os.environ.get("HEADRACE_TEST_HIDDEN", "")
"""Part of every name that the caller has no role on; empty where it may see everything."""


@schemathesis.check
def no_internal_error(_ctx, response, _case) -> None:  # type: ignore[no-untyped-def]
    """The API answers what it cannot do with a documented problem; 500 means that nobody thought of it."""
    assert response.status_code != 500, f"internal error: {response.text[:300]}"


@schemathesis.check
def nothing_of_others(_ctx, response, case) -> None:  # type: ignore[no-untyped-def]
    """A name that the caller may not see is in no answer, unless the caller has said it."""
    if not HIDDEN or HIDDEN.encode() not in response.content:
        return
    request = response.request
    said = f"{request.url}{request.body!r}{dict(request.headers)}"
    assert HIDDEN in said, f"the answer names what this caller may not see: {response.content[:300]!r}"
