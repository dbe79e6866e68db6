"""How do we talk to PostgreSQL?"""
