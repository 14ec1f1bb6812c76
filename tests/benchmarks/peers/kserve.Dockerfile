# KServe's ModelServer with one scikit-learn model, for the cold start beside ours. The context holds kserve_server.py and
# model.joblib: the model is in the image, so it fetches nothing. `cluster_cold_start.py` says how it is built.
FROM python:3.11-slim-bookworm
RUN pip install --no-cache-dir kserve==0.21.0 scikit-learn==1.9.1 numpy==2.4.6 joblib==1.6.0
WORKDIR /app
COPY kserve_server.py model.joblib ./
USER 65532:65532
CMD ["python", "kserve_server.py", "model.joblib", "8080"]
