"""The map of the package. Importing it imports nothing, so that `migrator.shim` stays light.

Question → where the answer lives

* Which words do we use?                        model/ (values, standard library only), errors.py
* What does Limitless refuse?                   model/refused.py (the table), model/refusing.py, model/limits.py
* What does the plan say, what does it mean on this cluster?     plan/
* Which tables, keys and columns has either side?                catalog/ (for plan, provision and changes: one reader)
* Phase 1, what would break on Limitless?       audit/ (rooms: evidence, shardkey, rules, sizing, report)
* Phase 2, what must exist there?               provision/
* Which calls to AWS, which rights, which cluster there?         aws/ (infra/terraform is held to the same tables)
* Who may do what, on either side?              rights/
* Which rights does the tool itself need?        privileges/ (one table; doctor, gates, `migrator grant` ask it)
* Phase 3, which rows changed?                  dataplane/capture/
* Phase 3, how does Limitless follow classic?   dataplane/mirror/
* Phase 3, how do old rows get there?           dataplane/backfill/
* Phase 3, how does a schema change reach both? dataplane/change/
* A divergent row, a quarantined tenant, everything: copied again             dataplane/repair.py, dataplane/recovery.py
* Is anything in the migrated schemas not captured, mirrored, provisioned?     inventory/
* Are both sides equal?                         consistency/ (shares no code with mirror and backfill)
* Is everything there that a migration needs?   doctor/ (one file for each group of checks)
* What differs: who records it, who repairs it? validation.py
* How long does classic's writer last, what does this tool cost it, how fast may it go?   runway/
* How many workers, partitions, connections does it need?             size/
* What does Limitless cost, how full are its shards, which tenants fill them?   capacity/
* Does Limitless carry the load, up to which rate, at what cost?           load/
* May a phase be left, and who approved it?     gates.py
* What do shadow runs and load tests have against dual write?     traffic_test.py (their results: model/traffic_test.py)
* Up to which size is a finding accepted?       model/acceptance.py
* Stay, shard by the application, Limitless, Citus: on these figures?           decide/
* Who may approve, and is it them?              governance/, model/approval.py (votes in, verdict out), control/votes.py
* How is the dual write undone?                 undo.py
* What wakes somebody, who is told, and how?    model/condition.py, model/standing.py, notify/
* Phase 4, who moves a route, and who has applied it?             traffic/route/
* Phase 4, may this tenant move, does it suffer?                  traffic/cutover/ (after the waves as well)
* Is Limitless unhealthy, has it recovered?     traffic/breaker/
* 3 a.m.: everybody back to classic             traffic/incident/
* Which alarms of other systems roll back?      traffic/incident/ (senders: what they send; match: what it does)
* Phase 5, 90 days, then retire classic         decommission/
* Who else uses classic, may the next leap be made?               preflight/
* What applications run, repeated on both sides: what is worse on Limitless?   shadow/
* Does a rollback work today, also without Temporal?              drill/ (restoring the last copy: decommission/)
* What is left to show when classic is gone?    dossier/
* What runs in application processes?           shim/ (psycopg and model only; for asyncio: shim/aio/)
* How does a Django project use it?             django/ (a database backend; only what the shim exports)
* How do other languages keep the shim's promises, does a client keep them?     control/contract.sql, contract/
* What do applications with SQLAlchemy use?     sqlalchemy/ (sessions whose transactions are the shim's)
* What becomes of a shim with its process: forks, freezes, ends? shim/lifetime.py, shim/inline.py, shim/forked.py
* What do applications test with?               testing.py (the shim itself, on memory or on one PostgreSQL)
* The tool's own tables                         control/
* Was the decision log altered?                 control/chain.py (pure), control/sealing.py
* How do we connect, and wait for busy locks?   db/
* Where is a connection string found, with which password, why is one refused? login/ (for the shim as well)
* How long do we wait for a state, how often is work tried again? poll.py, retry.py
* Servers on this machine, the stand-in, faults local/
* How does another server become a stand-in?      local/any_server.py
* The rehearsal and its independent proof       rehearse/
* What does a SQL text say, and where?           grammar/
* What do files of SQL hold, in which order?    scripts/ (for audits and for schema changes)
* What is measured, for Prometheus and OpenTelemetry?              metrics/ (one catalogue of names)
* Reports as HTML and JSON                      report/
* Where does the migration stand?               control/migration.py, report/migration.py
* What was it like over time?                   control/series.py
* The board, health and the webhook over HTTP   serve/
* Logs: how they are written, and which events there are         logs.py, log_events.py
* What does the wheel carry besides the library? carried.py (workflows, plans)
* Commands                                      cli/ (outermost ring; the only importer of typer and of workflows)

`workflows/` beside this package holds what Temporal runs: sequence, waiting, messages, and thin activities.

Why it is right is in docs/protocols.md, promise by promise; why it is so and not otherwise in docs/decisions/; what
the words mean in docs/glossary.md.
"""

__version__ = "0.1.0"
