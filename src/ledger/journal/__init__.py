"""The agent's journal: entries, and what people and the agent answer to them."""
