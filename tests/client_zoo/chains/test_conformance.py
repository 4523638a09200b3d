"""LangChain's conformance suite ends the same, test by test, with and without the sidecar."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zoo import URL, WHERE

HERE = Path(__file__).parent
MOCK = WHERE["llmock"]
DIRECT = {
    "OPENAI_URL": f"{MOCK}/v1",
    "OPENAI_MODEL": "gpt-4o",
    "ANTHROPIC_URL": f"{MOCK}/anthropic",
    "ANTHROPIC_MODEL": "claude-sonnet-4-5",
}
THROUGH = {
    "OPENAI_URL": f"{URL}/v1",
    "OPENAI_MODEL": "gpt",
    "ANTHROPIC_URL": URL,
    "ANTHROPIC_MODEL": "claude",
}
TRANSLATED = {**THROUGH, "OPENAI_MODEL": "claude", "ANTHROPIC_MODEL": "gpt"}
PASSED_MIN = 60


def results(where: dict[str, str], report: Path) -> dict[str, str]:
    """Run the suite; return what became of each test: passed, failure, error or skipped."""
    command = [sys.executable, "-m", "pytest", "-c", str(HERE.parent / "pytest.ini")]
    command += ["-p", "no:codspeed", "-o", "asyncio_mode=auto", "--benchmark-disable"]
    command += [f"--junitxml={report}", str(HERE / "conformance.py")]
    subprocess.run(command, env={**os.environ, **where}, capture_output=True, check=False)
    ends = {}
    for case in ET.parse(report).iter("testcase"):
        tags = {child.tag for child in case} & {"failure", "error", "skipped"}
        group = case.attrib["classname"].rpartition(".")[2]
        ends[f"{group}.{case.attrib['name']}"] = min(tags, default="passed")
    return ends


def test_same_results(tmp_path: Path) -> None:
    """Nothing that works without the sidecar fails with it, and the other way round.

    What fails at the mock fails by its answers, which are the same words whatever is asked; and as
    an Anthropic it knows no schema of an answer.
    """
    runs = {"direct": DIRECT, "through": THROUGH, "translated": TRANSLATED}
    with ThreadPoolExecutor(2) as pool:
        reports = [tmp_path / f"{name}.xml" for name in runs]
        direct, through, translated = pool.map(results, runs.values(), reports)
    assert list(direct.values()).count("passed") >= PASSED_MIN
    assert differences(direct, through) == []
    lost = differences(direct, translated)
    assert [one for one in lost if not one.startswith("TestOpenAI.test_structured_output")] == []


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the tests that ended differently."""
    names = sorted(one.keys() | other.keys())
    ends = [(name, one.get(name), other.get(name)) for name in names]
    return [f"{name}: {a} -> {b}" for name, a, b in ends if a != b]
