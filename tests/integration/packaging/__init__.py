"""The wheel, installed as an application and as an operator install it."""
