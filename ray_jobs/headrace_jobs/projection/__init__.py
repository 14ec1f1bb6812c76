"""Projection: a map of a window's rows over those of training, in two or three dimensions.

Here belongs the layout of rows (only ``layout`` imports scikit-learn, within a call), their distances and neighbours. Rows come
from ``sampling`` and ``baseline``; the picture is ``report``'s. Only ``commands`` imports its ``command``.
"""
