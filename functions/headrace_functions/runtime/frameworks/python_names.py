"""The names of files and functions that the framework ``python`` looks for. Builds read them without loading user code."""

ENTRY = "function.py"
FUNCTION = "predict"
HYDROSPHERE = "func_main.py"
"""The file that Hydrosphere's Python runtime looks for in the folder ``src`` of a payload."""
HYDROSPHERE_FUNCTIONS = ("predict", "infer")
"""What is called there where the function that the contract names is missing."""
