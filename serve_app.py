"""The HTTP service as a Ray Serve application: `serve run serve_app:app`."""

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.config import BackpressureConfig

from actors import placement, wiring
from actors.placement.exposure import keep_to_the_node
from actors.settings import Settings, read_settings
from actors.web.service import build

STREAMS_PER_REPLICA = 64
"""Room for live views beside the requests."""


def application(settings: Settings) -> Application:
    """The application for these settings."""

    def service() -> FastAPI:  # called in each replica; Serve takes a function, not a partial
        keep_to_the_node()
        return build(settings)

    ingress = serve.deployment(
        name="ingress",
        num_replicas=settings.replicas,
        max_ongoing_requests=settings.requests_per_replica_max + STREAMS_PER_REPLICA,
        max_queued_requests=settings.requests_per_replica_max,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=5,
        graceful_shutdown_timeout_s=10,
    )(serve.ingress(service)())
    return ingress.bind()


def app(_: dict[str, str]) -> Application:
    """Builds the application from the environment, and the hosts behind it."""
    settings = read_settings()
    wiring.directory_of(settings).require_one()
    placement.start_hosts(settings)
    return application(settings)
