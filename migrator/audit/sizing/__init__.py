"""How large are the tenants, how large must the target be, how long does classic last?"""
