"""The invented bilingual world: a generator that knows the meaning of what it writes."""
