"""How connections are let in: where a connection string comes from, anew for each connection, and why one is refused.

Shared by the tool and by the library inside applications, so it needs the standard library and psycopg, and boto3 where
AWS is asked, which is loaded then.
"""
