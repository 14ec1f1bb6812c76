"""Headrace for Python programs: ``from headrace import Client``.

The parts of the platform are ``headrace_controller``, ``headrace_functions`` and ``headrace_jobs``; they have no stable interface.
"""

from headrace_controller.client import Client
from headrace_controller.inference_client import AsyncClient

__all__ = ["AsyncClient", "Client"]
