"""What Limitless refuses, makes dear or loses, and where the evidence shows it."""
