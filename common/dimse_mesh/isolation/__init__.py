"""A process of its own for work that may hang, crash or take all memory: limited, killed, started again.

process  the side that asks
serving  the side that works, in the process itself
frames   what goes between them: a head as JSON, and parts as bytes
"""

from dimse_mesh.isolation.frames import Head
from dimse_mesh.isolation.process import IsolatedProcess, ProcessDied, ProcessTooSlow
from dimse_mesh.isolation.serving import Work, serve, serve_with_pydicom

__all__ = ["Head", "IsolatedProcess", "ProcessDied", "ProcessTooSlow", "Work", "serve", "serve_with_pydicom"]
