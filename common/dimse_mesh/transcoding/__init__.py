"""Another transfer syntax for an object, only where nothing is lost; in a process of its own.

syntaxes    which ones can be had of which
transcoder  the side that asks
worker      the process
converting  what it does, by pydicom
"""

from dimse_mesh.transcoding.syntaxes import alternatives
from dimse_mesh.transcoding.transcoder import CannotTranscode, Transcoder

__all__ = ["CannotTranscode", "Transcoder", "alternatives"]
