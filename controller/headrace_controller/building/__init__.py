"""What a build asks of the place where it happens: an environment made, and a function tried in it.

``room`` is the port, ``exchange`` the documents in which a function is asked and answers. The steps of a build
(``service.assembly``) import the port; its two ends, ``service.localroom`` on this machine and ``backends.kserve.builds`` on a
cluster, fill it. No process, no network and no store here.
"""
