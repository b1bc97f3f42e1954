"""What the scripts in `train_scripts/` need beyond shell: stages, jobs, and the state of both. No fairseq, no torch."""
