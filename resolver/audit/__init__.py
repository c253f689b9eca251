"""The audit trail: who did what to which notification, one line each, in a chain that shows tampering."""
