"""Pure decisions: no I/O, no clock. Lists and facts in, a plan with a reason per item out."""
