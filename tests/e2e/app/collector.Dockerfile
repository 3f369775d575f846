# The collector of the tests, where its file can be read by `kubectl exec`; the context is build/collector/.
FROM node:20-slim
COPY otelcol /otelcol
USER 1000
ENTRYPOINT ["/otelcol"]
