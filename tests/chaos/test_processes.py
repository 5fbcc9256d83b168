"""A short run of `make chaos`: hosts killed and stopped, Redis killed, under load."""

import pytest

from tests.chaos import faults
from tests.chaos.storm import storm
from tests.chaos.table import show
from tests.places import Place, until

pytestmark = pytest.mark.cluster

CUSTOMERS = 80
SEED = 4
"""Printed with the table, as everything that was found."""

HOST_BACK_S = 10.0
"""A killed host is back within so long whatever else the machine does; `make chaos` measures it."""

STALLED_BACK_S = 30.0


async def test_nothing_is_lost_doubled_or_reordered_under_faults(place: Place) -> None:
    doings = [faults.kill_host, faults.stop_host, faults.kill_redis]
    report = await storm(place, doings, customers=CUSTOMERS, seed=SEED, until_s=90)
    show(report)
    verdict = report.verdict
    assert verdict.is_clean, verdict.findings
    assert verdict.accepted > CUSTOMERS
    killed, stopped, redis = report.recoveries
    assert killed.works_again_s is not None and killed.works_again_s < HOST_BACK_S
    assert stopped.works_again_s is not None and stopped.works_again_s < STALLED_BACK_S
    assert redis.acks_again_s is not None
    assert [r.fault.remarks for r in report.recoveries] == [[], [], []]
    assert report.answered_after_s < 30
    until("the service is ready again", place.ready, 60)
