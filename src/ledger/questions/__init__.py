"""Questions: what the agent must know of a person before it goes on."""
