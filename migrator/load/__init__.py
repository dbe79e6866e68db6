"""Load tests: arrivals that wait for no answer, at growing rates, to Limitless, and to classic within a bound."""
