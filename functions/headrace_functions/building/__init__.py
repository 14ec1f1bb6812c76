"""What a build Job of a cluster runs in a runtime image: ``ask`` tries a function, ``layer`` makes what the image lacks.

The controller in a cluster has no package index and loads no user code; it starts these as Jobs and reads their results from
the store. ``command`` runs a child without the store's credentials. Only Jobs start these modules; the controller imports the
names of their variables from ``job_contract``.
"""
