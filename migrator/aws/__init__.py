"""What this tool asks of AWS: with which rights, and which cluster is made there.

actions.py is the table of every call and the right it needs, cluster.py the table of what a Limitless cluster is made
of; commands, `migrator doctor`, the checks of drift and Terraform (`infra/terraform`) are held to both. ground.py
asks about what has to be there before (network, key, roles), answers.py turns AWS' refusals into this tool's errors.
"""
