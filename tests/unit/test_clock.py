"""The machine's clock as one process sees it: steps of it become a slower or faster pace."""

import pytest

from actors.channels.chatwoot import POST_S
from actors.clock import SLEW, STEP_MAX_NS, SystemClock
from actors.conversation.turns import READ_BACK_GRACE_MS


class Machine(SystemClock):
    """A machine whose time is set by the test, seconds."""

    def __init__(self) -> None:
        self.passed_s, self.set_by_s = 100.0, 1_760_000_000.0
        super().__init__()

    def _time_ns(self) -> int:
        return round((self.set_by_s + self.passed_s) * 1e9)

    def _passed_ns(self) -> int:
        return round(self.passed_s * 1e9)


def test_time_passes_as_the_machine_says() -> None:
    machine = Machine()
    began_ms = machine.now_ms()
    assert began_ms == 1_760_000_100_000
    machine.passed_s += 2.5
    assert machine.now_ms() == began_ms + 2_500


@pytest.mark.parametrize("step_s", [-30.0, -0.5, 0.5, 30.0])
def test_a_step_is_followed_slowly_and_in_the_end(step_s: float) -> None:
    machine = Machine()
    before_ms = machine.now_ms()
    machine.set_by_s += step_s
    assert machine.now_ms() == before_ms, "no time has passed"
    paces = []
    for _ in range(400):
        machine.passed_s += 1
        now_ms = machine.now_ms()
        paces.append((now_ms - before_ms) / 1_000)
        before_ms = now_ms
    assert min(paces) >= 1 - 1 / SLEW - 0.01
    assert max(paces) <= 1 + 1 / SLEW + 0.01
    assert now_ms == machine._time_ns() // 1_000_000


def test_a_grace_outlasts_a_post_whatever_is_done_to_the_time() -> None:
    machine = Machine()
    until_ms = machine.now_ms() + READ_BACK_GRACE_MS
    machine.set_by_s += 50
    waited_s = 0.0
    while machine.now_ms() < until_ms:
        machine.passed_s += 0.01
        waited_s += 0.01
    assert waited_s > POST_S


@pytest.mark.parametrize("sign", [-1, 1])
def test_after_a_sleep_of_the_machine_its_time_is_taken_at_once(sign: int) -> None:
    machine = Machine()
    machine.set_by_s += sign * (STEP_MAX_NS / 1e9 + 1)
    assert machine.now_ms() == machine._time_ns() // 1_000_000
