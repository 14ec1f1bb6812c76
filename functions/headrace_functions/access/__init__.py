"""Who may do what: roles, grants, API keys, and from credentials to a caller and a decision.

``roles``, ``keys`` and ``policy`` are pure; ``source`` keeps a policy up with the store; ``authentication`` turns credentials into a
caller. The gateway and the controller both stand on it, so that both decide the same. Nothing here knows HTTP.
"""
