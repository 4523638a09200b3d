"""Events to OpenTelemetry and Prometheus. Imported by the app alone, and imports OpenTelemetry only
where an exporter is configured.
"""
