"""Two versions on the same rows: how far their answers agree, and which is better by its metrics, latency and labels.

``intervals`` has the paired statistics (pure), ``paired`` compares rows (pure), ``pairs`` finds rows that both have answered in the logs.
Use cases are in ``service/comparisons.py`` and ``service/replays.py``.
"""
