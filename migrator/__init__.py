"""The map of the package. Importing it imports nothing, so that `migrator.shim` stays light.

Question → where the answer lives

* Which words do we use?                        model/ (values, standard library only), errors.py
* What does Limitless refuse?                   model/refused.py (the table), model/refusing.py, model/limits.py
* What does the plan say, what does it mean on this cluster?     plan/
* Phase 1, what would break on Limitless?       audit/ (rooms: evidence, shardkey, rules, sizing, report)
* Phase 2, what must exist there?               provision/
* Who may do what, on either side?              rights/
* Phase 3, which rows changed?                  capture/
* Phase 3, how does Limitless follow classic?   mirror/
* Phase 3, how do old rows get there?           backfill/
* Phase 3, how does a schema change reach both? change/
* Is anything in the migrated schemas not captured, mirrored, provisioned?     inventory/
* Are both sides equal?                         consistency/ (shares no code with mirror and backfill)
* What differs: who records it, who mends it?   mend.py
* May a phase be left, and who approved it?     gates.py
* Phase 4, may this tenant move, does it suffer?  cutover/ (and after the waves: breach.py)
* Who moves a route, and who has applied it?    route/
* Is Limitless ill, and is it well again?       breaker/
* 3 a.m.: everybody back to classic             incident/
* Phase 5, 90 days, then retire classic         stabilize/, decommission/
* What runs in application processes?           shim/ (psycopg and model only)
* The tool's own tables                         control/
* How do we connect, and wait for busy locks?   db/
* Servers on this machine, the stand-in, faults local/
* The rehearsal and its independent proof       rehearse/
* Reports as HTML and JSON                      report/
* Logs                                          observe/
* Commands                                      cli/ (outermost ring; the only importer of typer and of workflows)

`workflows/` beside this package holds what Temporal runs: sequence, waiting, messages, and thin activities.
"""

__version__ = "0.1.0"
