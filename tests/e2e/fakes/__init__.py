"""Scripted FAKES of Ollama, OpenAI, Anthropic and Together: no model, fixed words, faults on demand.

They speak the protocols as closely as the real clients (`openai`, `anthropic`, `ollama`) can tell,
refuse what the real servers are known to refuse, and fail in the ways that real servers fail.
"""
from .server import Fault, Reply
from .ollama_fake import FakeOllama
from .openai_fake import FakeOpenAI, FakeTogether
from .anthropic_fake import FakeAnthropic

__all__ = ["Fault", "Reply", "FakeOllama", "FakeOpenAI", "FakeTogether", "FakeAnthropic"]
