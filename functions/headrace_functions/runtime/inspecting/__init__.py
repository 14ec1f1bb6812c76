"""What an artifact says of itself, read without its libraries and without running anything: framework, versions, size, inputs, outputs.

``kinds`` tells by its bytes what a file is, one module a family of formats reads it, ``inspection`` joins both. ``headrace model inspect`` shows it, and a build
that is not told its framework takes it from here. What a model itself says when it is loaded counts more.
"""
