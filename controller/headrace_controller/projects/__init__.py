"""The user's side of the command line: ``scaffold`` makes projects, ``packaging`` packs a definition with the files it names, ``example_requests``
makes requests from rows or from a signature. The platform checks everything again.
"""
