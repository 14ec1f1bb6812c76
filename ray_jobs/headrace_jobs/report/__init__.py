"""Reports: one versioned JSON schema for all kinds, self-contained HTML pages of it, and their keys in the store.

Here belongs what people and other programs read. Statistics and verdicts do not. A report holds no clock but the window's,
so the same run over the same log gives the same bytes.
"""
