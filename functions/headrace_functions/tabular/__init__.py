"""What every reader of a table in a file asks first, wherever it runs: is the file what its name says, and which words are no value?

``kinds`` tells files of another kind by their first bytes, ``dialect`` CSV that is written otherwise, ``missing`` has the words. No reader of
tables is here: those are ``batch`` and the controller's ``training``.
"""
