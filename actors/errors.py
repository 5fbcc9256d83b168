"""Names the three errors that decide everything; any other exception is a bug and crashes."""


class TurnwiseError(Exception):
    """A failure that the code foresees."""


class Retryable(TurnwiseError):
    """The same call may succeed later.

    `after_s`: what the other side asked us to wait (its Retry-After), seconds, or None.
    `doubtful`: the call may have taken effect although it failed; look before repeating it.
    """

    def __init__(
        self, message: str, *, after_s: float | None = None, doubtful: bool = False
    ) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.doubtful = doubtful


class Permanent(TurnwiseError):
    """The same call can never succeed."""


class Fenced(Permanent):
    """Somebody with a newer epoch holds this conversation; let go of it."""


class Misconfigured(Permanent):
    """A setting is missing or wrong; the message names it and says what to do."""
