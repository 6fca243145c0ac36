"""The command line, the supervisor of the embedded default, and the demo."""
