"""Backups of a store: a consistent cut of it with a digest of every object, and a platform made from one elsewhere.

``manifest`` is the format, ``cut`` says what belongs to a backup, ``tables`` takes one state of a Delta table, ``copying`` moves
objects, ``taking``, ``verifying`` and ``restoring`` are the three things that people do. It works on stores alone: no platform has to be
up, and one that is goes on serving. Only ``cli`` imports it.
"""
