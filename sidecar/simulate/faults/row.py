"""One row of the fault catalogue, as data.

A, B and C are the providers of ``simulate/world.py``: A the best, B its equal elsewhere, C small
and cheap. ``measured`` says how the row is played for the table of figures.
"""

from __future__ import annotations

from sidecar.value import value


@value
class Row:
    """``tests`` are ``path::name`` of the tests that show the behaviour, at least one."""

    number: int
    fault: str
    correct: str
    measured: str
    tests: tuple[str, ...]


def scenario_tests(subject: str, *names: str) -> tuple[str, ...]:
    """Return names of scenario tests in full: ``("silence", "a")`` is
    ``tests/scenarios/test_silence.py::test_a``.
    """
    return tuple(f"tests/scenarios/test_{subject}.py::test_{name}" for name in names)


def process_tests(subject: str, *names: str) -> tuple[str, ...]:
    """Return names of tests with real processes and sockets in full."""
    return tuple(f"tests/processes/test_{subject}.py::test_{name}" for name in names)
