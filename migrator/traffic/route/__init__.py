"""Who moves a route, who has applied it, and when may reads move up?"""
