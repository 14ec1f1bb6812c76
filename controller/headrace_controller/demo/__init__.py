"""``make demo``: the whole story on real data, told through the command line as a person would type it.

``projects`` trains models on data that scikit-learn bundles and writes what a user would write; ``story`` tells the steps
and checks each result; ``narration`` prints and runs. Needs scikit-learn beside the platform. Nothing imports this package.
"""
