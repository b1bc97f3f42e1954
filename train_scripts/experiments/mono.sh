# One language alone; PAIR is its code, --seed 2 a second one of it (section 5).
CONDITION=mono
