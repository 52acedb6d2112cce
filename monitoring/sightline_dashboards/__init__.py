"""The Grafana dashboards, written as code; `make dashboards` turns them into JSON."""
