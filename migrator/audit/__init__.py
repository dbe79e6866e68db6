"""Phase 1: finds what would fail on Limitless, and which statements would go to every shard.

Question → where the answer lives

* In which order does an audit work?                      run.py; files.py without a server; plan_init.py without a plan
* For which Limitless, and what did the team say?         target.py
* What is known of the database?                          catalog.py, filled by evidence/ (live, script, dumps, logs)
* Which shards does a statement ask?                      shardkey/, upwards: graph, scope, walk, operand, predicate,
                                                          from_clause, select, query, verdict
* What does Limitless refuse or make dear?                rules/ (rulebook: all of them), model/refused.py
* What is the verdict on each statement, each function?   statements.py, functions.py
* What should each table become?                          classify.py
* Which column is the tenant's, and who leads to it?      tenant_key.py
* How large are tenants and target, for how long?         sizing/
* How is it said, what of it is accepted?                 report/ (the page in a browser: migrator/report/audit.py)
"""
