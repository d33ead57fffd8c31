"""File formats -> Graph. The mirror of exporters."""
