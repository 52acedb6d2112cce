"""What operators see: metrics, dashboards, alerts."""
