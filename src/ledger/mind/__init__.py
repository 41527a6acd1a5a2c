"""How the quiet loops think: pure functions from messages to what can be learned of them, and prompts for a model."""
