"""The parts that every service process needs: settings, telemetry, logs, health, signals, its context."""
