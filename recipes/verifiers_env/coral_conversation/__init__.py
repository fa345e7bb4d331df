"""Conversations of Coral as an environment of verifiers: problems, seats, and their loop."""

from coral_conversation.env import ConversationEnv
from coral_conversation.problems import Problems
from coral_conversation.seat import SeatHarness

__all__ = ["ConversationEnv", "Problems", "SeatHarness"]
