"""Profiles: what the fields of training and of a production window look like, side by side.

Here belong mergeable statistics that need no reference, what they look at in a field, and the job. Whether a difference matters
is ``drift``'s question. The profile that checks rows (``models/…/profile.json``) is ``profiling``'s. Only ``commands`` imports its ``command``.
"""
