"""Training data and samples: from CSV or Parquet to columns, and from columns to the fields of a signature.

``tables`` is where pyarrow reads and writes files, ``inference`` is pure numpy. Builds import it; it knows no store and no API.
"""
