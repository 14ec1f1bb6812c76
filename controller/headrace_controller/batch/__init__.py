"""``headrace batch``: the rows of files through a model's endpoint, part by part, so that a run that was killed goes on where it was.

``files`` reads and writes tables, ``asking`` turns rows into requests and answers into columns, ``running`` keeps parts, order and
progress. It runs on the user's side of the command line and asks the platform as any caller does.
"""
