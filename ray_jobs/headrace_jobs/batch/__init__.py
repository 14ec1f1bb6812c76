"""Files through a version's endpoint, as a job of the platform; what is done with them is in ``headrace_functions.batch``."""
