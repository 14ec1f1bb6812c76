"""The management API ``/api/v1``: decode, call a use case, map the answer or the error. No rule lives here.

``routing`` holds the table of operations that both Flask and the OpenAPI document are made from, ``views`` turns domain
objects into ``schemas``, one module a group of resources follows. Flask is imported here and in ``pages`` alone.
"""

from headrace_controller.api.application import create_app

__all__ = ["create_app"]
