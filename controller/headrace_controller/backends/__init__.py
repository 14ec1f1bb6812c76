"""Where versions run. ``base`` is the seam; ``local`` runs processes on this machine, ``kserve`` InferenceServices on a cluster.

The two never see each other. One conformance suite (``tests/contracts/backends``) holds every implementation to the contract.
"""
