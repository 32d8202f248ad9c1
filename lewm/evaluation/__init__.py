"""Where model, planner and environment meet: control, probes, diagnostics, and what they leave to read."""
