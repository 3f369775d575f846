"""What all models of one run share: the clock, the network, the ledger, chance, and the journal where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from simulation.clock import Clock
from simulation.journal import Journal
from simulation.ledger import Ledger
from simulation.network import Network


@dataclass
class World:
    """The surroundings of every model; `single_services` are those that have had one endpoint since the start."""

    clock: Clock
    network: Network
    ledger: Ledger
    random: Random
    journal: Journal | None = None
    single_services: dict[str, None] = field(default_factory=dict)

    def note(self, who: str, text: str) -> None:
        """Write a line of the conversation, where one is kept."""
        if self.journal is not None:
            self.journal.note(who, text)
