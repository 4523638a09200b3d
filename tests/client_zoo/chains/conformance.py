"""LangChain's own conformance suite for chat models, at the address that the environment names.

``test_conformance.py`` runs it at a mock provider and at the sidecar before it, and compares. Tests
with pictures are left out: they fetch one from the internet.
"""

from __future__ import annotations

import os
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

OPENAI, ANTHROPIC = os.environ["OPENAI_URL"], os.environ["ANTHROPIC_URL"]
OPENAI_MODEL, ANTHROPIC_MODEL = os.environ["OPENAI_MODEL"], os.environ["ANTHROPIC_MODEL"]


class TestOpenAI(ChatModelIntegrationTests):
    """``ChatOpenAI``."""

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        """The class under test."""
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """How it is made."""
        return {"model": OPENAI_MODEL, "base_url": OPENAI, "api_key": "any", "stream_usage": True}

    @property
    def supports_json_mode(self) -> bool:
        """JSON without a schema is tried too."""
        return True


class TestAnthropic(ChatModelIntegrationTests):
    """``ChatAnthropic``."""

    @property
    def chat_model_class(self) -> type[ChatAnthropic]:
        """The class under test."""
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """How it is made."""
        return {"model": ANTHROPIC_MODEL, "base_url": ANTHROPIC, "api_key": "any"}

    @property
    def supports_image_tool_message(self) -> bool:
        """Pictures as a tool's result are tried too."""
        return True
