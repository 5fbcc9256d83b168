"""Builds every part from the settings, once a process; nobody else makes clients."""

from dataclasses import dataclass, field

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from actors.analytics.spending import Spending
from actors.analytics.tallies import Tallies
from actors.clock import Clock, Dice, Ids, SystemClock, SystemDice, SystemIds
from actors.companies.directory import Directory
from actors.conversation.counting import Counting
from actors.conversation.ports import Ports
from actors.errors import Misconfigured
from actors.journal.dead_letters import DeadLetters
from actors.journal.stream import Journal
from actors.llm.custom import check_callables
from actors.llm.voice import check_template
from actors.personas import Personas
from actors.settings import Settings
from actors.telemetry import configure_logging

REDIS_CONNECTIONS_MAX = 64
"""Connections of one process to Redis. A caller waits for a free one: whoever may not wait, such as
the ingress, sets a limit around the whole call."""

REDIS_CONNECT_S = 1.0
REDIS_TIMEOUT_S = 3.0


def redis_client(settings: Settings) -> Redis:
    """A client that fails fast and does not repeat by itself: callers know what may be repeated."""
    try:
        pool = BlockingConnectionPool.from_url(
            settings.redis_url.get_secret_value(),
            max_connections=REDIS_CONNECTIONS_MAX,
            timeout=None,
            socket_connect_timeout=REDIS_CONNECT_S,
            socket_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
    except ValueError:  # without its words, which quote the address
        raise Misconfigured("REDIS_URL has an option after its ? with a wrong value") from None
    return Redis(connection_pool=pool)


@dataclass(frozen=True)
class Parts:
    """Everything that one process of Turnwise is made of."""

    settings: Settings
    directory: Directory
    redis: Redis
    journal: Journal
    dead_letters: DeadLetters
    tallies: Tallies
    spending: Spending
    personas: Personas
    ports: Ports
    clock: Clock
    dice: Dice
    ids: Ids = field(default_factory=SystemIds)


def directory_of(settings: Settings) -> Directory:
    """The companies, with everything checked that a company's settings name."""
    return Directory(settings, checks=(check_template, check_callables))


def build(settings: Settings) -> Parts:
    """Builds the parts. Connects to nothing yet. Raises errors.Misconfigured."""
    configure_logging(settings.log_level)
    directory = directory_of(settings)
    redis = redis_client(settings)
    replicas = 1 if settings.durability == "replicated" else 0
    journal = Journal(redis, waiting_max=settings.waiting_per_conversation_max, replicas=replicas)
    clock, dice = SystemClock(), SystemDice()
    tallies = Tallies(redis)
    spending = Spending(redis)
    personas = Personas(settings, directory, tallies, spending, clock)
    ports = Ports(
        log=journal,
        personas=personas,
        clock=clock,
        dice=dice,
        tally=Counting(tallies, directory.company),
        history_tokens=settings.history_tokens,
    )
    letters = DeadLetters(redis, replicas=replicas)
    return Parts(
        settings=settings,
        directory=directory,
        redis=redis,
        journal=journal,
        dead_letters=letters,
        tallies=tallies,
        spending=spending,
        personas=personas,
        ports=ports,
        clock=clock,
        dice=dice,
    )
