"""What a service process stands on: settings, telemetry, logs, health, signals, its context."""
