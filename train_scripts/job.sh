#!/usr/bin/env bash
#SBATCH --requeue --open-mode=append --signal=B:USR1@120
# One job of submit.sh under Slurm: job.sh NAME MOST_FAILURES COMMAND...
# Before Slurm takes the machine away (time limit, preemption) this shell gets a signal and passes it on; the command saves
# and ends with status 75, and Slurm is asked to start the job again. A job that dies is started again so many times; one
# that was given bad input (status 2) is not. {part} in the command becomes the number of the job in its array.
set -uo pipefail
source train_scripts/stages.sh
name=$1 most=$2
shift 2
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}} # an array has the number of one of its jobs
job=${job:-$SLURM_JOB_ID}
failures=$RUNS/jobs/$name${SLURM_ARRAY_TASK_ID:+.$SLURM_ARRAY_TASK_ID}.failures
say "job $SLURM_JOB_ID ($name), start number $((${SLURM_RESTART_COUNT:-0} + 1)), on $SLURM_JOB_NODELIST"

# Whether scancel ended the job. Whatever the reason, Slurm shows a job that it ends as COMPLETING; but a time limit and most
# preemptions send SIGUSR1 before, and any preemption leaves its time.
cancelled() {
  [ -z "$WARNED" ] && scontrol show job -o "$job" | grep -E 'JobState=(COMPLETING|CANCELLED)' | grep -qv 'PreemptTime=[0-9]'
}

passing_signals_on "${@//\{part\}/${SLURM_ARRAY_TASK_ID:-1}}"
status=$?
if [ "$status" -ne 0 ] && cancelled; then
  say "job $SLURM_JOB_ID: cancelled; not started again"
  exit "$status"
fi
case $status in
  0) rm -f "$failures"; say "job $SLURM_JOB_ID: done"; exit 0 ;;
  2) say "job $SLURM_JOB_ID: bad input, see above; not started again"; exit 2 ;;
  75 | 138 | 143) # it saved, or SIGUSR1 or SIGTERM ended it before it had anything to save
    say "job $SLURM_JOB_ID: stopped by a signal; Slurm is asked to start it again"
    status=75 ;;
  *)
    printf '%s job %s status %s\n' "$(date '+%F %T')" "$SLURM_JOB_ID" "$status" >> "$failures"
    died=$(wc -l < "$failures")
    if [ "$died" -gt "$most" ]; then
      say "job $SLURM_JOB_ID: died $died times ($failures); not started again"
      exit "$status"
    fi
    say "job $SLURM_JOB_ID: died with status $status; start $died of $most again" ;;
esac
scontrol requeue "$job" || { say "Slurm refuses to start it again; submit it again yourself"; exit "$status"; }
sleep 300 # until Slurm ends this start
exit "$status"
