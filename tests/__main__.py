"""Runs the whole suite in two halves at once: what waits for a running service leaves most of the
processor to what computes. `python -m tests`; ends with 1 if either half fails."""

import os
import subprocess
import sys
import tempfile

WAITING = ("tests/browser", "tests/integration", "tests/chaos/test_processes.py")
"""They start the service and wait for it, most of the time."""

PYTEST = (sys.executable, "-m", "pytest")
NICE = 10
"""The half that computes gives way to the service of the other one."""


def main() -> int:
    """Shows the waiting half as it runs, and the computing one when both have ended."""
    computing = [f"--ignore={path}" for path in WAITING]
    with tempfile.TemporaryFile() as shown:
        other = subprocess.Popen(
            [*PYTEST, "-p", "no:cacheprovider", *computing],
            stdout=shown,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.nice(NICE),
        )
        try:
            print("the tests that wait for a running service:", flush=True)
            waited = subprocess.run([*PYTEST, *WAITING], check=False).returncode
            computed = other.wait()
        finally:
            other.kill()
        shown.seek(0)
        print("\nthe other tests, run at the same time:", flush=True)
        sys.stdout.buffer.write(shown.read())
        sys.stdout.flush()
    print(f"\nwaiting for a service: {_told(waited)}; the others: {_told(computed)}")
    return 1 if waited or computed else 0


def _told(code: int) -> str:
    return "passed" if code == 0 else f"failed (exit code {code})"


if __name__ == "__main__":
    raise SystemExit(main())
