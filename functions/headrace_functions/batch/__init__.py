"""The rows of files through a model's endpoint, part by part, so that a run that was killed goes on where it was.

``files`` reads and writes tables, ``places`` says where they are, ``requests`` turns rows into requests and answers into columns, ``running`` keeps
parts, order and progress. ``headrace batch`` runs it on the user's side of the command line, a job of the platform on the platform's; both ask as any caller does.
"""
