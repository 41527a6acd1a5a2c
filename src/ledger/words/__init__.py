"""From a text to the terms it may be about, in any language. It knows nothing of threads."""
