"""What the command line decides for the cases."""

# P02: "silent for more than a minute" with --slow; a few seconds show most mistakes.
silence_seconds = 5.0
