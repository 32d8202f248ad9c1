"""Makes datasets of others: importers, exporters, resizing, merging, splitting."""
