"""Telling people of incidents: who is told (``targets``), in what words (``messages``, pure) and by what way (``sending``).

When something is told, and that it is told once, is decided in ``service/notifications.py``.
"""
