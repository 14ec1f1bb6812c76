"""Which metrics a version has, and what their values say.

Here belongs what a metric is: its specification, whether a value is healthy, the columns of the table of values. No HTTP, no
model is called here (the collector does that), nothing is drawn. Everybody in the controller may import it.
"""
