"""The audit trail: who did what to which notification, one line for each event, in a tamper-evident chain."""
