"""Every parser that is fuzzed. One that is added to the code belongs here, too."""

from __future__ import annotations

from typing import Final

from tests.fuzz.bus_targets import TARGETS as OF_THE_BUS
from tests.fuzz.encryption_targets import TARGETS as OF_THE_ENCRYPTION
from tests.fuzz.file_targets import TARGETS as OF_FILES
from tests.fuzz.peer_targets import TARGETS as OF_PEERS
from tests.fuzz.target import FuzzTarget

TARGETS: Final[dict[str, FuzzTarget]] = {
    target.name: target for target in (*OF_PEERS, *OF_THE_BUS, *OF_THE_ENCRYPTION, *OF_FILES)
}
