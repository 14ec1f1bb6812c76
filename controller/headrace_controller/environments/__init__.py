"""From requirements to a lock to a virtual environment.

``tool`` runs uv, ``resolution`` turns a requirement list into a lock that is remembered, ``virtual`` builds the environment
of a lock once, ``named`` holds the environments of the analysis jobs. Nothing here knows of models or versions; the
builds and jobs of ``service`` import it.
"""
