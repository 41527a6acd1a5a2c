"""What reflection and personality have learned of a thread: scorecards and profiles, revision by revision."""
