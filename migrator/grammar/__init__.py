"""What does PostgreSQL's own grammar say about a text, and which part of the text is it? All of libpg_query is here."""
