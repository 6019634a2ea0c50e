"""Durable execution: scheduler, executor, attempts, recovery.

`scheduler` takes jobs on, `executor` runs one, `attempt` tries one route; `workflow` keeps them,
`device_queue` and `leases` share machines, `monitor` takes up the jobs of dead processes, `upgrade`
those of version 1.
"""
