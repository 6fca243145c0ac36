"""The operator: DimseProxy custom resources made into Kubernetes objects."""
