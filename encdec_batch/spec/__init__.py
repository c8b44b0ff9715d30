"""What the user asks for: frozen pydantic models, read once at the edge.

In: a YAML, JSON or TOML file and `--set` overrides. Out: one `JobSpec`. Knows no store, no Ray, no torch.
"""
