"""Headrace for Python programs: ``from headrace import Client``.

The parts of the platform are ``headrace_controller``, ``headrace_functions`` and ``headrace_jobs``; nothing in them is promised to stay.
"""

from headrace_controller.asking import AsyncClient
from headrace_controller.client import Client

__all__ = ["AsyncClient", "Client"]
