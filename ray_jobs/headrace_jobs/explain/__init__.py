"""Explanations: how much each input of one logged request added to the answer, as SHAP values.

Here belongs what asks a model through its endpoint as a black box. Nothing here may need Ray, Dask, SciPy or scikit-learn:
a person waits for the answer.
"""
