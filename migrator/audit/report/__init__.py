"""What an audit says, and in which forms: JSON, terminal, SARIF; what of it the team has accepted."""
