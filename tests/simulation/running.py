"""Runs a seed, says whether it holds, and tells its whole story where it does not."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from actors.conversation.events import decode
from tests.fakes import MemoryJournal
from tests.simulation.checks import SEEN_BY_A_CUSTOMER, broken_rules
from tests.simulation.world import PLACES, World, key_of


@dataclass
class Outcome:
    """What came of one run. `told` is empty where it holds and nobody asked for it."""

    seed: int
    broken: tuple[str, ...]
    silence_s: float
    told: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def is_seen(self) -> bool:
        """Whether a customer would notice what is broken."""
        return any(rule.startswith(SEEN_BY_A_CUSTOMER) for rule in self.broken)


def run(seed: int, journal: type[MemoryJournal] = MemoryJournal, *, tell: bool = False) -> Outcome:
    """Runs one seed."""
    world = World(seed, journal)
    world.run()
    broken = tuple(broken_rules(world))
    told = "\n".join(_told(world, broken)) if broken or tell else ""
    return Outcome(seed, broken, world.watch.silence_s, told, _counted(world))


def _counted(world: World) -> Counter[str]:
    counts = Counter({"messages": len(world.tokens), "answered 202": len(world.senders.accepted)})
    for place in PLACES:
        for entry in world.journal._entries[key_of(place)]:
            counts[f"journal: {type(decode(entry.raw)).__name__}"] += 1
        counts["replies and parts in the channel"] += len(world.chatwoot.at(place).said_by_bot())
    for kind, times in world.faults.counted.items():
        counts[f"fault: {kind}"] += times
    return counts


def _told(world: World, broken: tuple[str, ...]) -> Iterator[str]:
    yield f"seed {world.seed}: {'BROKEN' if broken else 'holds'}"
    yield from (f"  {rule}" for rule in broken)
    yield f"kinds of faults: {', '.join(sorted(world.faults.kinds))}"
    yield "story (simulated seconds):"
    yield from (f"  {at_s:9.4f}  {what}" for at_s, what in world.story)
    for place in PLACES:
        yield f"journal of {key_of(place)}:"
        for entry in world.journal._entries[key_of(place)]:
            yield f"  {entry.seq:3}  {decode(entry.raw)}"
        yield f"what stands in {key_of(place)}:"
        for message in world.chatwoot.at(place).messages:
            what = {0: "customer", 1: "bot"}[message["message_type"]]
            who = message["sender"].get("name") or what
            private = " (a private note)" if message["private"] else ""
            text = message["content"].rstrip(".")
            yield f"  {message['at_s']:9.4f}  {message['id']}  {who}{private}: {text}"
    yield f"again with: make simulate OF=service SEEDS=1 FIRST={world.seed}"
