"""The languages of providers: one adapter for each type, and the only code that opens connections."""
