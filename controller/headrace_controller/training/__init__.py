"""Training data and samples: from CSV or Parquet to columns, and from columns to the fields of a signature.

``csvfile``, ``source`` and ``tables`` are where pyarrow reads and writes files, the first two in batches; ``summary`` and ``inference`` are
pure numpy; ``data`` is what a build does with them. Builds import it; it knows no store and no API.
"""
