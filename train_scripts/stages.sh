# Sourced by run.sh and by scripts that run many experiments.
# Stages are skipped when done, resumed when interrupted, redone when their inputs changed.

say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 2; }

# runs_folder FOLDER: the same folder by the same name, however it was written (runs/lab/, ./runs/lab), as names are part
# of what a stage depends on. As pathlib has it, which submit.sh uses; .. stays, since what it leads over may be a link.
runs_folder() {
  local path=$1/
  while [[ $path == *//* || $path == */./* ]]; do path=${path//\/\//\/} path=${path//\/.\//\/}; done
  while [[ $path == ./?* ]]; do path=${path#./}; done
  [ "$path" = "$PWD/" ] || path=${path#"$PWD/"}
  [ "$path" = / ] || path=${path%/}
  printf '%s\n' "$path"
}

# stage NAME OUTPUT COMMAND...   with the files that it depends on in INPUTS; see python -m fairseq_xling.runs.stage -h
# MAKES: file within OUTPUT that is there when it is done.  WHEN_CHANGED: what becomes of an OUTPUT from other inputs.
# GPUS: how many must be there.
stage() {
  local name=$1 output=$2
  shift 2
  wanted "$name" || return 0
  if [ -n "${DRY_RUN:-}" ]; then quoted "$@"; return 0; fi
  passing_signals_on "$PYTHON" -m fairseq_xling.runs.stage "$name" "$output" --input "${INPUTS[@]}" \
    --makes "${MAKES:-}" --when-changed "${WHEN_CHANGED:-remove}" --gpus "${GPUS:-0}" -- "$@" || exit $?
}

# A command as it can be pasted.
quoted() {
  local word line=''
  for word; do
    case $word in
      '' | *[!A-Za-z0-9_./=:,+@%-]*) line+=" ${word@Q}" ;;
      *) line+=" $word" ;;
    esac
  done
  printf '%s\n' "${line# }"
}

# Whether a stage was asked for: all of them, or those of --stage.
wanted() { [ ${#STAGES[@]} -eq 0 ] || [[ " ${STAGES[*]} " == *" $1 "* ]]; }

# A signal between two commands ends the script with the status of a stop; before the first, nothing is lost either.
trap 'exit 75' TERM USR1 INT HUP

# Runs a command so that a signal to this shell becomes a SIGTERM to the command, and waits until that has ended.
# WARNED says whether SIGUSR1 was among the signals.
passing_signals_on() {
  local child='' status=0 told=''
  WARNED=''
  trap 'told=1; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null || true' TERM INT HUP
  trap 'told=1 WARNED=1; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null || true' USR1
  "$@" &
  child=$!
  [ -z "$told" ] || kill -TERM "$child" 2> /dev/null || true # it came before there was a child
  while :; do
    status=0
    wait "$child" || status=$?
    kill -0 "$child" 2> /dev/null || break # else a signal ended the wait
  done
  trap 'exit 75' TERM USR1 INT HUP
  [ "$status" -lt 128 ] || [ -z "$told" ] || status=75 # it was told before it listened
  return "$status"
}
