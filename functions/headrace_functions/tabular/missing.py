"""Words of a CSV file that stand for no value, unless its reader is told others."""

import pyarrow.csv as pacsv

MISSING_WORDS: tuple[str, ...] = (*pacsv.ConvertOptions().null_values, "None", "<NA>")
"""Those that pandas takes for missing values: Arrow's, the empty cell among them, and two more."""
