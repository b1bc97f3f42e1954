# Sourced by run.sh: stages that are skipped when done, resumed when interrupted, redone when their inputs changed.

say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 2; }

# What a stage depends on: its command, and size and time of every file that it names as an input (folders: of what lies
# directly in them).
fingerprint() {
  local path
  printf '%s\n' "$@"
  for path in "${INPUTS[@]}"; do
    [ -e "$path" ] || { [ -n "$DRY_RUN" ] || die "$path is missing; it is an input of stage '$STAGE'"; continue; }
    find -L "$path" -maxdepth 1 -type f -printf '%p %s %T@\n' | sort
  done
}

# stage NAME OUTPUT COMMAND...   with INPUTS=(files) set by the caller
# Done is what a stamp beside OUTPUT says, with the fingerprint of the inputs in it.
stage() {
  STAGE=$1
  local output=$2 stamp="$2.done" log="$2.log" print
  shift 2
  wanted "$STAGE" || return 0
  if [ -n "$DRY_RUN" ]; then printf '%q ' "$@"; printf '\n'; return 0; fi
  print=$(fingerprint "$@" | sha256sum | cut -d' ' -f1)
  if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$print" ] && [ -e "$output" ]; then
    say "$STAGE: done ($output)"
    return 0
  fi
  if [ -e "$stamp" ]; then
    say "$STAGE: its inputs or its command have changed; it is done again"
    rm -rf "$output" "$stamp"
  fi
  mkdir -p "$(dirname "$output")"
  say "$STAGE: begins; log in $log"
  if ! "$@" > >(tee -a "$log" | progress_lines >&2) 2> >(tee -a "$log" >&2); then
    die "stage '$STAGE' failed; the end of $log says why"
  fi
  [ -e "$output" ] || die "stage '$STAGE' ended without $output; see $log"
  printf '%s\n' "$print" > "$stamp.tmp" && mv "$stamp.tmp" "$stamp"
}

# Of a long log the lines that a person wants to see on the way.
progress_lines() {
  grep --line-buffered -E 'updates/s|an epoch:|language-specific|parameters:|valid \||passes|%|drawn with' || true
}

# Whether a stage was asked for: all of them, or those of --stage.
wanted() { [ ${#STAGES[@]} -eq 0 ] || [[ " ${STAGES[*]} " == *" $1 "* ]]; }
