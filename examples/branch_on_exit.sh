#!/bin/sh
# Carry out a task and branch on the exit code: branch_on_exit.sh "PROMPT" [OPTIONS]
log=$(mktemp) # not in the project: a file there would be part of the tree that evidence speaks for
trap 'rm -f "$log"' EXIT
assay -p "$@" </dev/null 2>"$log"
code=$?
case $code in
    0) echo "done: verified, or answered without a change" ;;
    10) echo "changed, but the evidence is not enough: have a look at git diff" ;;
    1) echo "checks are red: undoing it"; git checkout -q . ;;
    3) echo "the key is missing, refused or spent" ;;
    5 | 6) echo "stopped at a limit; 'assay resume' goes on" ;;
    8) echo "it needs leave for something: see --allowedTools" ;;
    *) echo "it could not be done ($code):"; tail -n 1 "$log" ;;
esac
exit $code
