"""``headrace dev``: one model of a folder, served while it is written, and nothing of it kept.

``building`` makes what a version would be by the steps of a real build, in a store of its own that is thrown away; ``replicas`` forks its function from a zygote and puts a
new one in the place of the old; ``watching`` tells what was saved; ``front`` passes requests on and tells of them; ``session`` joins these. Only the command line starts it.
"""
