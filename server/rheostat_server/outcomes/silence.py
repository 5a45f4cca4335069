"""When an instance that reported has vanished. All times in ms.

An instance sends a batch each second while a flag ramps, and every 10 s otherwise or while it could not be heard.
"""

SILENT_MS = 30_000
"""An instance that was not heard for so long, though it could have been, has vanished: three of its longest periods."""
HEARING_GAP_MS = 5_000
"""When nobody of an environment is heard for so long, it is we who do not hear."""
RECOVERY_MS = 30_000
"""So long instances may wait before they try again to be heard: silence counts from then on."""
