"""Money: estimate, reserve, charge once, settle, reconcile.

`ledger` keeps every hold, `reservations` sets money aside, `charge` is the only way to a paid call,
`reconcile` closes what dead processes left; `spend_report` and `payback` tell people.
"""
